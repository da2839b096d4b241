"""The environment of child processes: only variables that Python, the C library, OpenSSL and pdns read.

Other variables may be secrets, which processes with hostile input must not have.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

from pdns import clock

_NAMES: Final = frozenset({
    "PATH", "LANG", "LANGUAGE", "TZ", "TZDIR", "TMPDIR", "LD_LIBRARY_PATH", "LD_PRELOAD", "GLIBC_TUNABLES", "JOURNAL_STREAM",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "OPENSSL_CONF", "PDNS_LOOP", "ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS",
})  # fmt: skip
_PREFIXES: Final = ("LC_", "PYTHON", "MALLOC_")


def for_child(more: Iterable[str] = ()) -> dict[str, str]:
    """The environment for a child process that also needs the variables `more`; those that are not set are left out."""
    wanted = _NAMES | set(more)
    kept = {name: value for name, value in os.environ.items() if name in wanted or name.startswith(_PREFIXES)}
    return {**kept, **clock.environment()}
