"""Reads one TOML file, and explains what is wrong with it."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pdns.config.syntax import explain
from pdns.errors import ConfigError, ConfigErrors

MAX_BYTES: Final = 16 * 1024 * 1024
USUAL: Final = ("pdns.toml", "/etc/protective-dns/pdns.toml", "/etc/pdns/pdns.toml")

_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")  # the byte order mark of some Windows files


def read_tables(path: Path) -> Mapping[str, Any]:
    """The parsed TOML of the file at `path`. Raises `ConfigErrors`, with one error."""
    return read_toml(path)[0]


def read_toml(path: Path) -> tuple[Mapping[str, Any], str]:
    """As `read_tables`, and the SHA-256 of the file in hexadecimal digits."""
    file = str(path)
    try:
        with path.open("rb") as opened:  # it may be a pipe: `-c <(make-config)`
            content = opened.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ConfigErrors([ConfigError(file, "", f"longer than {MAX_BYTES:,} bytes")])
        text = content.decode("utf-8-sig")
        return tomllib.loads(text), hashlib.sha256(content).hexdigest()
    except FileNotFoundError:
        reason = f"no such file; without -c, the first of {', '.join(USUAL)} and the shipped example is used"
        raise ConfigErrors([ConfigError(file, "", reason)]) from None
    except OSError as error:
        raise ConfigErrors([ConfigError(file, "", error.strerror or "cannot be read")]) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        reason = f"line {line}: not UTF-8: save the file in that encoding"
        if error.object.startswith(_UTF_16):
            reason = "is in UTF-16: save it in UTF-8"
        raise ConfigErrors([ConfigError(file, "", reason)]) from None
    except RecursionError:
        raise ConfigErrors([ConfigError(file, "", "nested too deeply")]) from None
    except ValueError as error:
        raise ConfigErrors([ConfigError(file, "", explain(str(error), text))]) from None
