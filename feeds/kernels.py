"""The one place where the feeds process imports compiled code: what a compile of a million names needs."""

from __future__ import annotations

from pdns.fast.name_writer import write_names

__all__ = ["write_names"]
