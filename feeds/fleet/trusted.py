"""What a node believes of the store: The Update Framework's client over the object store, and its errors in words for people.

Metadata is kept in `<state>/fleet/metadata`. What is older than was seen there, unsigned, expired or mixed is refused.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from feeds.fleet.object_store import ObjectStore
from feeds.fleet.packed import MissingLibrary
from feeds.fleet.release import MAX_DOCUMENT_BYTES, MAX_NUMBER, BadDocument, Release, Urgent, decode
from feeds.fleet.stored import NotFound, NotModified, ObjectStoreError
from pdns.errors import PdnsError
from pdns.files.safe_files import make_directory, read_bounded

if TYPE_CHECKING:
    from tuf.ngclient.updater import Updater

POINTER: Final = "metadata/timestamp.json"
POINTER_BYTES: Final = 64 * 1024
FULL_LOOK_S: Final = 3600.0  # so often everything is verified anew, also when the pointer has not changed: a key may be revoked
CLOCKS_DIFFER_S: Final = 300.0
_WAIT_S: Final = 180.0
_T = TypeVar("_T")
for _name in ("tuf", "securesystemslib"):
    logging.getLogger(_name).setLevel(logging.WARNING)  # of each poll they log several lines for debugging


class UntrustedError(PdnsError):
    """What the store has is refused. `result` is one of `pdns.state.fleet_status.POLL_RESULTS`."""

    def __init__(self, reason: str, result: str = "refused") -> None:
        super().__init__(reason)
        self.reason, self.result = reason, result


class TrustedPointer(NamedTuple):
    """The newest signed word of the publisher."""

    sequence: int
    issued_s: float  # when it was first seen here
    expires_s: float


class Found(NamedTuple):
    """What the store has for a ring. A document is None when it is the one whose hash was given."""

    pointer: TrustedPointer
    release: Release | None
    release_sha256: str
    urgent: Urgent | None
    urgent_sha256: str


class TrustedStore:
    """One for each node and store."""

    def __init__(self, store: ObjectStore, root_file: Path, directory: Path) -> None:
        """`directory` keeps the metadata."""
        self._store, self._root_file, self._directory = store, root_file, directory
        self._tag = ""
        self._full_s = 0.0
        self._issued: tuple[int, float] = (0, 0.0)
        self.bytes_total = 0  # received
        self.pointer = TrustedPointer(0, 0.0, 0.0)

    async def look(self, ring: str, release_sha256: str, urgent_sha256: str) -> Found | None:
        """What is new since the hashes; None when the pointer is the one that was handled last (see `handled`).

        Raises `ObjectStoreError`, `UntrustedError` and `MissingLibrary`.
        """
        try:
            data, tag = await self._store.get(POINTER, POINTER_BYTES, self._tag)
        except NotFound as exc:
            was_there = (self._directory / "timestamp.json").exists()
            raise NotFound(f"{exc}: {'it is gone' if was_there else 'nothing has been published to this store yet'}") from None
        now_s = time.monotonic()
        if isinstance(data, NotModified) and now_s < self._full_s:
            self._require_valid()
            return None
        self._count(data)
        found = await asyncio.to_thread(self._update, asyncio.get_running_loop(), ring, release_sha256, urgent_sha256)
        self._seen = tag, now_s + FULL_LOOK_S
        return found

    def handled(self) -> None:
        """Do not return what `look` found last again."""
        self._tag, self._full_s = self._seen

    def forget(self) -> None:
        """Have the next `look` verify everything anew."""
        self._tag = ""

    async def object(self, path: str, size_bytes: int) -> bytes:
        """An object of the store, to be verified by the caller. Raises `ObjectStoreError`."""
        data, _ = await self._store.get(path, size_bytes)
        self._count(data)
        if isinstance(data, NotModified):
            raise ObjectStoreError(f"{path}: the store says that it has not changed, and was not asked that")
        return data

    def _count(self, data: bytes | NotModified) -> None:
        self.bytes_total += len(data) if isinstance(data, bytes) else 0

    def _require_valid(self) -> None:
        if self.pointer.expires_s < time.time():
            raise self._expired()

    def _expired(self) -> UntrustedError:
        date_s = self._store.date_s
        text = f"the pointer of the store has expired{f' at {_clock(self.pointer.expires_s)}' if self.pointer.expires_s else ''}"
        if date_s and abs(date_s - time.time()) > CLOCKS_DIFFER_S:
            return UntrustedError(f"{text}, or this clock is wrong: the store says that it is {_clock(date_s)}", "expired")
        return UntrustedError(f"{text}: has the publisher stopped, or is this clock wrong?", "expired")

    def _update(self, loop: asyncio.AbstractEventLoop, ring: str, release_sha256: str, urgent_sha256: str) -> Found:
        """In a thread: the library waits for what it asks for."""
        api, errors, updater = self._updater(loop)
        try:
            updater.refresh()
            timestamp = updater._trusted_set.timestamp  # noqa: SLF001 (the library has no other way to read it)
            if timestamp.version > MAX_NUMBER:
                raise UntrustedError("the pointer has a number that is out of all bounds")
            self._saw(timestamp.version, timestamp.expires.timestamp())
            release, release_hash = self._document(updater, f"release/{ring}.json", Release, release_sha256)
            urgent, urgent_hash = self._document(updater, "urgent.json", Urgent, urgent_sha256)
        except errors.ExpiredMetadataError as exc:
            self._read_expired(api)
            if "timestamp" in str(exc):
                raise self._expired() from None
            raise UntrustedError(f"{exc}: has the publisher stopped, or is this clock wrong?", "expired") from None
        except errors.DownloadHTTPError as exc:
            raise UntrustedError(f"incomplete: {exc}") from None
        except errors.BadVersionNumberError as exc:
            raise UntrustedError(f"older than what was seen before, or of another moment: {exc}") from None
        except errors.UnsignedMetadataError as exc:
            raise UntrustedError(f"not signed by the keys of the fleet: {exc}") from None
        except errors.LengthOrHashMismatchError as exc:
            raise UntrustedError(f"damaged, or of another moment: {exc}") from None
        except errors.DownloadError as exc:
            if isinstance(exc.__cause__, ObjectStoreError):
                raise exc.__cause__ from None
            raise UntrustedError(f"not as the signed documents say: {exc}") from None
        except errors.RepositoryError as exc:
            raise UntrustedError(f"not the metadata of a fleet; is it a web page? {exc}") from None
        except BadDocument as exc:
            raise UntrustedError(f"this version of the program cannot use it: {exc}") from None
        except OSError as exc:
            raise UntrustedError(f"{exc.filename or self._directory}: {exc.strerror}") from None
        return Found(self.pointer, release, release_hash, urgent, urgent_hash)

    def _updater(self, loop: asyncio.AbstractEventLoop) -> tuple[Any, Any, Updater]:
        try:
            from tuf.api import exceptions, metadata  # noqa: PLC0415 (only nodes need it)
            from tuf.ngclient.config import UpdaterConfig  # noqa: PLC0415 (likewise)
            from tuf.ngclient.fetcher import FetcherInterface  # noqa: PLC0415 (likewise)
            from tuf.ngclient.updater import Updater  # noqa: PLC0415 (likewise)
        except ImportError:
            raise MissingLibrary("fleets need the library tuf: pip install 'protective-dns[fleet]'") from None

        store = self

        class Fetcher(FetcherInterface):  # type: ignore[misc, unused-ignore]
            def _fetch(self, url: str) -> Iterator[bytes]:
                try:
                    data = _wait(loop, store.object(url, MAX_DOCUMENT_BYTES))
                except NotFound as exc:
                    raise exceptions.DownloadHTTPError(str(exc), 404) from None
                yield data

            @contextmanager
            def download_file(self, url: str, max_length: int) -> Iterator[BytesIO]:
                data = b"".join(self.fetch(url))
                if len(data) > max_length:
                    raise exceptions.DownloadLengthMismatchError(f"{url}: {len(data):,} bytes, more than {max_length:,}")
                yield BytesIO(data)  # in memory: this process may write to no other directory

        try:
            root = read_bounded(self._root_file, MAX_DOCUMENT_BYTES, follow_links=True)
            make_directory(self._directory, 0o700)
            config = UpdaterConfig(prefix_targets_with_hash=True)
            updater = Updater(
                str(self._directory), "metadata/", str(self._directory), "targets/", Fetcher(), config, bootstrap=root
            )
        except OSError as exc:
            raise UntrustedError(f"{exc.filename or self._root_file}: {exc.strerror}") from None
        except exceptions.RepositoryError as exc:
            raise UntrustedError(f"root_file = {self._root_file}: not the root of a fleet: {exc}") from None
        return metadata, exceptions, updater

    def _document(self, updater: Updater, path: str, kind: type[_T], known: str) -> tuple[_T | None, str]:
        info = updater.get_targetinfo(path)
        if info is None:
            return None, ""
        sha256 = info.hashes.get("sha256", "")
        if sha256 == known:
            return None, sha256
        into = self._directory / "target.json"
        try:
            updater.download_target(info, str(into))
            return decode(read_bounded(into, MAX_DOCUMENT_BYTES), kind), sha256  # type: ignore[type-var]
        finally:
            into.unlink(missing_ok=True)

    def _read_expired(self, api: Any) -> None:
        """Note when the pointer that is kept has expired."""
        with suppress(Exception):  # it is for a text only
            signed = api.Metadata.from_file(str(self._directory / "timestamp.json")).signed
            self._saw(signed.version, signed.expires.timestamp())

    def _saw(self, sequence: int, expires_s: float) -> None:
        if self._issued[0] != sequence:
            self._issued = sequence, time.time()
        self.pointer = TrustedPointer(sequence, self._issued[1], expires_s)


def _wait(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, bytes]) -> bytes:
    future = asyncio.run_coroutine_threadsafe(work, loop)
    try:
        return future.result(_WAIT_S)
    except TimeoutError:
        future.cancel()
        raise ObjectStoreError(f"no answer within {_WAIT_S:g} s") from None


def _clock(at_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_s))
