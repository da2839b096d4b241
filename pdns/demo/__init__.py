"""A small world on loopback for `pdns demo`: names, an upstream that knows them, feeds, and people who ask."""
