"""Files with secrets that systemd hands in: `credential:NAME` instead of a path (systemd.exec(5), LoadCredential=)."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from pdns.config.addresses import absolute_path
from pdns.errors import InvalidAddress

PREFIX: Final = "credential:"
OF_THE_SERVICE: Final = Path("/run/credentials/protective-dns.service")  # for commands of administrators, who are outside of it
_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}")


def secret_path(text: str, directory: Path) -> Path:
    """As `absolute_path`; for `credential:NAME` the file of that name in $CREDENTIALS_DIRECTORY, or in that of the service.

    Raises `InvalidAddress`, also when there is no such credential.
    """
    if not text.startswith(PREFIX):
        return absolute_path(text, directory)
    name = text.removeprefix(PREFIX)
    if not _NAME.fullmatch(name):
        raise InvalidAddress("expected letters, digits, dots, dashes or underscores after credential:")
    given = os.environ.get("CREDENTIALS_DIRECTORY", "")
    handed_in = Path(given) if given else OF_THE_SERVICE
    path = handed_in / name
    if os.path.lexists(path):
        return path
    try:
        names = sorted(entry.name for entry in handed_in.iterdir())
    except FileNotFoundError:
        reason = (
            "there are no credentials here: $CREDENTIALS_DIRECTORY is not set, and the service does not run with LoadCredential="
        )
        raise InvalidAddress(reason) from None
    except OSError as error:
        raise InvalidAddress(f"the credentials in {handed_in} cannot be read: {error.strerror}") from None
    raise InvalidAddress(
        f"no credential has this name ({', '.join(names) or 'the directory is empty'}); add it to LoadCredential="
    )
