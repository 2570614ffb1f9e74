"""What users of the load test ask for and what they expect: data and pure functions, and the caller that Locust counts."""
