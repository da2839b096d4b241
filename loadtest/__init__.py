"""Measures the resolver from outside: load, replayed traffic, malformed packets. Everything stays on this machine."""
