"""The command line: thin over the stack and the HTTP APIs. Exit codes: 0 fine, 1 failed, 2 usage, 3 no stack."""
