"""Which names are public suffixes: below them anybody may register a name, as below `com` and `co.uk`."""

from __future__ import annotations

from functools import cache

from publicsuffixlist import PublicSuffixList


def is_public_suffix(name: str) -> bool:
    """Whether `name`, in canonical text, is one. A top-level domain that the list does not know is one too."""
    return _list().publicsuffix(name) == name


@cache
def _list() -> PublicSuffixList:
    return PublicSuffixList()
