"""Standing the outside: circuit breaker and back-off."""
