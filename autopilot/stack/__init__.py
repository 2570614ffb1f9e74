"""The embedded stack: NATS, Postgres and the seven services as supervised processes under one directory."""
