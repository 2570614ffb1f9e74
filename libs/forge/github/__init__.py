"""GitHub: pull requests, labels, checks, comments and issues by its REST API."""
