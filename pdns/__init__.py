"""A protective DNS resolver: blocks what threat feeds list, forwards and caches the rest."""

__version__ = "0.1.0"
