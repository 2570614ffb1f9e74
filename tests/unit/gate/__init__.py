"""What each gate makes of measured facts."""
