"""What the short-lived child process does: `python -m feeds.build`, a job on standard input, its result on standard output.

Big lists live and die here. The child only writes new files; taking them into use is the parent's part, so that a child whose
parent is gone can no longer change anything. It ends when standard input does.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec

from feeds.compile import compile_blockset
from feeds.directory import is_directory, parse_all
from feeds.files import disk_reason
from feeds.guard import MAX_EXAMPLES, judge
from feeds.jobs import Compile, Compiled, Failed, Job, Parse, Parsed, Result
from feeds.normalise import Reason
from feeds.parse import ParsedFeed, decode, encode, parse_feed
from feeds.priority import step_back
from feeds.protected import Protected
from pdns.config import Feed
from pdns.core.names import from_reversed_key, to_text
from pdns.errors import BlocksetError, FeedError
from pdns.feedstatus import Finding, HeldNames

_COMPARED_BYTES = 64 * 1024 * 1024
_CHECKSUM_BYTES = 4


def main() -> None:
    """Do the one job that standard input brings."""
    step_back()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for those who decide what becomes of us
    answer = os.dup(1)
    os.dup2(2, 1)  # whatever prints, prints into the log
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    result = perform(job)
    with open(answer, "wb") as pipe:  # noqa: PTH123 (it is a descriptor already)
        pipe.write(msgspec.json.encode(result))


def perform(job: Job) -> Result:
    """Do `job`. What can be expected to go wrong comes back as `Failed`."""
    try:
        return parse(job) if isinstance(job, Parse) else compile_all(job)
    except OSError as exc:
        return Failed(disk_reason(exc, Path(job.parsed if isinstance(job, Parse) else job.directory).parent))
    except MemoryError:
        return Failed("out of memory: lower max_bytes, or give this machine more")


def parse(job: Parse) -> Parsed | Failed:
    """Judge a list: its entries are written if there is at least one. Raises `OSError`."""
    raw = Path(job.raw)
    if not raw.stat().st_size:
        return Failed("the list is empty", unusable=True)
    try:
        parsed = parse_all(raw, job.feed) if is_directory(raw, job.feed) else parse_feed(raw, job.feed)
    except FeedError as exc:
        return Failed(exc.reason if not exc.line else f"line {exc.line}: {exc.reason}", unusable=True)
    entries, addresses = parsed.entries, len(parsed.networks)
    if not entries and not (job.feed.addresses and addresses):
        return Failed(_nothing_in(parsed), unusable=True)
    save(Path(job.parsed), parsed)
    _sync(raw)
    before = _names_before(job.before)
    return Parsed(
        format=parsed.format,
        lines=parsed.lines,
        entries=entries,
        addresses=addresses,
        odd=parsed.odd,
        added=sum(1 for name in parsed.names if name not in before) if before is not None else None,
        removed=sum(1 for name in before if name not in parsed.names) if before is not None else None,
        finding=_finding(job, entries + addresses, parsed.names, before or {}),
    )


def compile_all(job: Compile) -> Compiled | Failed:
    """Make the blockset, one list after the other. Raises `OSError`."""
    damaged: list[str] = []
    held: dict[str, HeldNames] = {}
    try:
        protected = Protected(job.protection)
    except OSError as exc:
        return Failed(f"guard.popularity: {exc.filename} cannot be read: {exc.strerror}")

    def lists() -> Iterator[tuple[Feed, ParsedFeed]]:
        for part in job.parts:
            parsed = load(Path(part.parsed))
            if parsed is None:
                damaged.append(part.feed.name)
            elif not damaged:
                held[part.feed.name] = protected.take_out(parsed.names, part.decided)
                yield part.feed, parsed
        if damaged:
            raise BlocksetError(f"damaged on disk: the entries of {', '.join(damaged)}")

    try:
        manifest = compile_blockset(lists(), Path(job.directory), job.generation, job.created_s)
    except BlocksetError as exc:
        if isinstance(exc.__context__, OSError):
            raise exc.__context__ from None
        return Failed(str(exc), damaged=tuple(damaged))
    return Compiled(manifest.entries, manifest.feeds, held)


def save(path: Path, parsed: ParsedFeed) -> None:
    """Write `parsed` for `load`, onto the disk. Raises `OSError`."""
    data = encode(parsed)
    with path.open("wb") as file:
        file.write(zlib.crc32(data).to_bytes(_CHECKSUM_BYTES))
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def load(path: Path) -> ParsedFeed | None:
    """What `save` wrote to `path`; None when it is not there or not whole."""
    try:
        with path.open("rb") as file:
            checksum, data = file.read(_CHECKSUM_BYTES), file.read()
        return decode(data) if zlib.crc32(data).to_bytes(_CHECKSUM_BYTES) == checksum else None
    except (OSError, msgspec.DecodeError):
        return None


def _names_before(path: str) -> dict[bytes, int] | None:
    """The names of the copy before; None when there was none, or to compare would take more memory than the news is worth."""
    try:
        if not path or Path(path).stat().st_size > _COMPARED_BYTES:
            return None
    except OSError:
        return None
    before = load(Path(path))
    return before.names if before is not None else None


def _finding(job: Parse, entries: int, names: dict[bytes, int], before: dict[bytes, int]) -> Finding | None:
    """What is wrong with so many entries, with some of the names that make the difference."""
    finding = judge(entries, job.entries_before, job.limits) if job.limits is not None else None
    if finding is None:
        return None
    more, fewer = (before, names) if finding.kind == "shrink" else (names, before)
    examples = islice((key for key in more if key not in fewer), MAX_EXAMPLES)
    return msgspec.structs.replace(finding, examples=[to_text(from_reversed_key(key)) for key in examples])


def _nothing_in(parsed: ParsedFeed) -> str:
    reason = f"no names in {parsed.lines:,} lines, read as {parsed.format}"
    if not parsed.odd:
        return reason
    commonest, lines = max(parsed.odd.items(), key=lambda item: item[1].count)
    example = f", as in {lines.examples[0]}" if lines.examples else ""
    advice = "; url_hosts = true lists the hosts of URLs" if commonest in (Reason.URL, Reason.URL_WITH_PATH) else ""
    return f"{reason}; most often {commonest}{example}{advice}"


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _die_with_parent() -> None:
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    main()
