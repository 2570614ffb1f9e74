"""What cleanup decides, for each of the things it owns."""
