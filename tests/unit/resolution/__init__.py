"""What is done about failures."""
