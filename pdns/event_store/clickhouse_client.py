"""Connections to ClickHouse through `clickhouse-connect`, which is imported at the first use."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from pdns.errors import PdnsError
from pdns.event_store.clickhouse_schema import ClickHouse
from pdns.files.safe_files import read_bounded

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

CONNECT_TIMEOUT_S: Final = 10
_MAX_PASSWORD_BYTES: Final = 4096


class ClickHouseMissingError(PdnsError):
    """`clickhouse-connect` is not installed."""

    def __init__(self) -> None:
        super().__init__("ClickHouse needs a library that is not installed: pip install 'protective-dns[clickhouse]'")


def connect(settings: ClickHouse) -> Client:
    """A client of the server, which has answered once. Raises `failures`, and `OSError` for the password file."""
    try:
        from clickhouse_connect import get_client  # noqa: PLC0415 (optional, and slow to import)
    except ImportError:
        raise ClickHouseMissingError from None
    url = urlsplit(settings.url)
    is_secure = url.scheme == "https"
    password = ""
    if settings.password_file:
        raw = read_bounded(Path(settings.password_file), _MAX_PASSWORD_BYTES, follow_links=True)
        password = raw.decode().rstrip("\r\n")
    timeout_s = max(1, math.ceil(settings.timeout_s))  # the library takes whole seconds
    return get_client(
        host=url.hostname or "",
        port=url.port or (8443 if is_secure else 8123),
        secure=is_secure,
        username=settings.user,
        password=password,
        connect_timeout=min(CONNECT_TIMEOUT_S, timeout_s),
        send_receive_timeout=timeout_s,
        query_retries=0,
        autogenerate_session_id=False,
        ca_cert=settings.ca_file or None,
        client_cert=settings.client_cert_file or None,
        client_cert_key=settings.client_key_file or None,
        client_name="pdns",
    )


def failures() -> tuple[type[Exception], ...]:
    """The exceptions of a server that refuses, fails or does not answer."""
    try:
        from clickhouse_connect.driver.exceptions import ClickHouseError  # noqa: PLC0415 (as above)
        from urllib3.exceptions import HTTPError  # noqa: PLC0415 (comes with it)
    except ImportError:
        return ClickHouseMissingError, OSError
    return ClickHouseMissingError, ClickHouseError, HTTPError, OSError, UnicodeError


def reason_of(error: Exception) -> str:
    """The first line of what went wrong, without the address of the server twice."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__
