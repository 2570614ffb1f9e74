"""The programs a person runs: the command line and the embedded stack."""
