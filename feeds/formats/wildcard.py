"""Lists of `*.x`. They hold bare names too, and plain lists hold `*.x`: a line means the same in both."""

from __future__ import annotations

from feeds.formats.domains import read

__all__ = ["read"]
