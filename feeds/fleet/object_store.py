"""Where a fleet keeps its objects: a directory (`file://`), an S3 bucket (`s3://`), or for readers a web server (`https://`).

Directories and buckets are reached through the library obstore. Web servers are reached through aiohttp, and their hosts found
through the configured upstreams: a node that starts without its lists must not have to ask itself.
"""

from __future__ import annotations

import asyncio
import configparser
import importlib
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Final, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

from feeds.fetch.network import Network
from feeds.fleet.packed import MissingLibrary
from feeds.fleet.stored import BadRequest, Denied, Existing, NotFound, NotModified, ObjectStoreError, TooLarge, Unreachable
from pdns.files.safe_files import read_bounded

TIMEOUT_S: Final = 60.0
CONNECT_TIMEOUT_S: Final = 10.0
_RETRIES: Final = 1
_MOST_FILE_BYTES: Final = 1024 * 1024
_KEYS_AGAIN_S: Final = 60.0  # so often the file of credentials is read again
_ERROR_CHARACTERS: Final = 300
_T = TypeVar("_T")


class ObjectStore(Protocol):
    """Each method raises a `ObjectStoreError`, within a minute or so. Paths are relative, with `/` between their parts."""

    date_s: float  # by the clock of the store, when it answered last, in seconds since the epoch; 0: it does not say

    async def get(self, path: str, most_bytes: int, etag: str = "") -> tuple[bytes | NotModified, str]:
        """The object and its entity tag; `NotModified` when `etag` is still that of the object."""
        ...

    async def put(self, path: str, data: bytes, *, create: bool = False) -> None:
        """Write the whole object. `create`: raises `Existing` when there is one, whoever writes at the same time."""
        ...

    async def list(self, prefix: str) -> list[tuple[str, int, float]]:
        """Every object in the folder `prefix`: path, size in bytes, seconds since the epoch of the last change."""
        ...

    async def delete(self, path: str) -> None:
        """No error when there is no such object."""
        ...

    async def close(self) -> None:
        """End its connections."""
        ...


def open_store(
    url: str,
    endpoint: str = "",
    region: str = "",
    credentials_file: str = "",
    ca_file: str = "",
    *,
    network: Network | None = None,
) -> ObjectStore:
    """The store at `url`; nothing is asked of it yet. `network`: how the host of an `https` url is found.

    Raises `ObjectStoreError` when what is configured cannot be used, and `MissingLibrary`.
    """
    parts = urlsplit(url)
    if parts.scheme in ("https", "http"):
        from feeds.fleet.web_store import WebStore  # noqa: PLC0415 (aiohttp, which other stores do not need)

        return WebStore(url, ca_file, network)
    library = _obstore()
    try:
        if parts.scheme == "file":
            if not Path(unquote(parts.path)).is_dir():
                raise ObjectStoreError(f"{url}: not a directory: make it, for the user that this program runs as")
            return _LibraryStore(library, library.store.LocalStore(unquote(parts.path)), "")
        if parts.scheme == "s3":
            prefix = unquote(parts.path).strip("/")
            bucket = _bucket(library, parts.netloc, endpoint, region, credentials_file, ca_file)
            return _LibraryStore(library, bucket, f"{prefix}/" if prefix else "")
    except OSError as exc:
        raise ObjectStoreError(f"{exc.filename or url}: {exc.strerror}") from None
    except library.exceptions.BaseError as exc:
        raise ObjectStoreError(f"{url}: {_reason(exc)}") from None
    raise ObjectStoreError(f"{url}: neither file://, s3:// nor https://")


def _obstore() -> ModuleType:
    try:
        for module in ("obstore.exceptions", "obstore.store"):
            importlib.import_module(module)
        return importlib.import_module("obstore")
    except ImportError:
        raise MissingLibrary("fleets need the library obstore: pip install 'protective-dns[fleet]'") from None


def _bucket(library: ModuleType, bucket: str, endpoint: str, region: str, credentials_file: str, ca_file: str) -> object:
    options: dict[str, object] = {
        "timeout": timedelta(seconds=TIMEOUT_S),
        "connect_timeout": timedelta(seconds=CONNECT_TIMEOUT_S),
        "allow_http": endpoint.startswith("http://"),
    }
    if ca_file:
        options["root_certificate"] = read_bounded(Path(ca_file), _MOST_FILE_BYTES, follow_links=True)
    settings: dict[str, object] = {"region": region or "us-east-1", "virtual_hosted_style_request": not endpoint}
    if endpoint:
        settings["endpoint"] = endpoint
    if credentials_file:
        _keys_in(credentials_file)
        settings["credential_provider"] = lambda: _keys_in(credentials_file)
    else:
        settings["skip_signature"] = True
    retry = {"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=TIMEOUT_S)}
    return library.store.S3Store(bucket, client_options=options, retry_config=retry, **settings)


def _keys_in(path: str) -> dict[str, object]:
    """The first section of a file as the AWS command line has it. Raises `ObjectStoreError`, without its content."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(read_bounded(Path(path), _MOST_FILE_BYTES, follow_links=True).decode())
        section = parser[parser.sections()[0]]
        keys = {"access_key_id": section["aws_access_key_id"], "secret_access_key": section["aws_secret_access_key"]}
    except OSError as exc:
        raise ObjectStoreError(f"credentials_file = {path}: {exc.strerror}") from None
    except (configparser.Error, ValueError, KeyError, IndexError):
        lines = "[default], aws_access_key_id = ..., aws_secret_access_key = ..."
        raise ObjectStoreError(f"credentials_file = {path}: not a file with the lines {lines}") from None
    token = section.get("aws_session_token", "")
    until = datetime.now(UTC) + timedelta(seconds=_KEYS_AGAIN_S)
    return {**keys, **({"token": token} if token else {}), "expires_at": until}


class _LibraryStore:
    """A store of obstore. Its work is done by threads of the library."""

    date_s = 0.0  # the library keeps that to itself

    def __init__(self, library: ModuleType, store: object, prefix: str) -> None:
        self._library, self._store, self._prefix = library, store, prefix

    async def get(self, path: str, most_bytes: int, etag: str = "") -> tuple[bytes | NotModified, str]:
        options = {"if_none_match": etag} if etag else None

        async def ask() -> tuple[bytes | NotModified, str]:
            try:
                result = await self._library.get_async(self._store, self._prefix + path, options=options)
            except self._library.exceptions.NotModifiedError:
                return NotModified(), etag
            if result.meta["size"] > most_bytes:
                raise TooLarge(f"{path}: {result.meta['size']:,} bytes, more than {most_bytes:,}")
            chunks, received = [], 0
            async for chunk in result.stream():
                received += len(chunk)
                if received > most_bytes:
                    raise TooLarge(f"{path}: more than {most_bytes:,} bytes")
                chunks.append(bytes(chunk))
            return b"".join(chunks), result.meta.get("e_tag") or ""

        return await self._bounded(path, ask)

    async def put(self, path: str, data: bytes, *, create: bool = False) -> None:
        mode = "create" if create else "overwrite"

        async def ask() -> None:
            where = self._prefix + path
            await self._library.put_async(self._store, where, data, mode=mode, use_multipart=False)

        await self._bounded(path, ask)

    async def list(self, prefix: str) -> list[tuple[str, int, float]]:
        async def ask() -> list[tuple[str, int, float]]:
            found: list[tuple[str, int, float]] = []
            where = (self._prefix + prefix).rstrip("/")
            async for part in self._library.list(self._store, where or None):
                for meta in part:
                    path = meta["path"].removeprefix(self._prefix)
                    found.append((path, meta["size"], meta["last_modified"].timestamp()))
            return found

        return await self._bounded(prefix, ask)

    async def delete(self, path: str) -> None:
        async def ask() -> None:
            await self._library.delete_async(self._store, self._prefix + path)

        try:
            await self._bounded(path, ask)
        except NotFound:
            return

    async def close(self) -> None:
        """The library keeps connections by itself."""

    async def _bounded(self, path: str, ask: Callable[[], Awaitable[_T]]) -> _T:
        errors = self._library.exceptions
        try:
            async with asyncio.timeout(2 * TIMEOUT_S):
                return await ask()
        except TimeoutError:
            raise Unreachable(f"{path}: no answer within {2 * TIMEOUT_S:g} s") from None
        except (errors.NotFoundError, FileNotFoundError):
            raise NotFound(f"{path}: not there") from None
        except errors.AlreadyExistsError:
            raise Existing(f"{path}: is there already") from None
        except errors.PreconditionError:
            raise Existing(f"{path}: is there already, or was changed") from None
        except (errors.PermissionDeniedError, errors.UnauthenticatedError, PermissionError) as exc:
            raise Denied(f"{path}: not allowed: {_reason(exc)}") from None
        except (errors.InvalidPathError, errors.NotSupportedError) as exc:
            raise BadRequest(f"{path}: {_reason(exc)}") from None
        except (errors.BaseError, OSError) as exc:
            raise Unreachable(f"{path}: {_reason(exc)}") from None


def _reason(exc: Exception) -> str:
    """What the library says, in one line, without its advice for programmers."""
    if isinstance(exc, OSError) and exc.errno:
        return os.strerror(exc.errno)
    text = " ".join(str(exc).split("\n\nDebug source")[0].split())
    return text[:_ERROR_CHARACTERS]
