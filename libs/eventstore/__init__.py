"""The record: what is true. A port (`store`), its Postgres form and its in-memory twin."""
