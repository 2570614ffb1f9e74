"""Judges a record from the outside: reads Postgres itself and knows nothing but the documented format.

It imports nothing of the product: no event class, no fold, no hash function, no query. What it knows is what
`docs/events.md`, `docs/topology.txt` and the schema say, so an error in the product's own reading cannot hide here.
"""
