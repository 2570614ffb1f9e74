"""What the dashboard asks of others."""
