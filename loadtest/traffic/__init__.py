"""What users of the load test ask for and what they expect: data and pure functions, without the load generator."""
