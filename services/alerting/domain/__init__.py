"""What alerting decides: which rule fires, and what becomes of one alert."""
