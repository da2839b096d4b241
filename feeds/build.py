"""The child process `python -m feeds.build`: it reads a job from standard input and writes the result to standard output.

The memory that a big list takes is freed when the child ends. The child only writes new files, and the parent puts them in force:
a child without its parent changes nothing. The child ends when standard input is closed.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import compress, islice
from pathlib import Path

import msgspec

from feeds.allowance import MIB, allowance_of, hold_to
from feeds.compile import compile_blockset
from feeds.directory import is_tar, parse_all
from feeds.entries import DamagedEntries, Entries, write_entries
from feeds.files import disk_reason
from feeds.fleet.export import export
from feeds.fleet.node_parse import parse_text
from feeds.jobs import Compile, Compiled, ExportJob, Failed, Job, Parse, Parsed, Progress, PublishJob, Result, Said
from feeds.names import Names
from feeds.normalise import Reason
from feeds.parse import ParsedFeed, parse_feed
from feeds.popular import popular_keys
from feeds.protected_names import ProtectedNames
from feeds.publish.make import publish
from feeds.salvage import Salvaged
from feeds.update_limits import MAX_EXAMPLES, Change, judge
from pdns.blockset.annotations import DAY_S, Annotations
from pdns.blockset.generations import sync
from pdns.blockset.reader import Blockset
from pdns.config.addresses import source_path
from pdns.config.fleet_rules import fleet_feed
from pdns.config.schema import Feed
from pdns.confinement.confine import confine_parser, said
from pdns.confinement.priority import step_back
from pdns.core.listing import BLOCK_SUBTREE
from pdns.errors import BlocksetError, FeedError
from pdns.logs import log_to_stderr, open_standard_descriptors, standard_error
from pdns.state.feed_status import HoldReason
from pdns.wire.names import from_reversed_key, load_tables, to_text

_PROGRESS_EVERY_S = 0.2


def main() -> None:
    """Do the one job that standard input brings."""
    open_standard_descriptors()
    step_back()
    standard_error().threaded = False  # until the process has given up what it does not need
    log_to_stderr("feeds", "info")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the parent, which ends this process
    answer = os.dup(1)
    os.dup2(2, 1)  # whatever prints, prints into the log
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    load_tables()
    missing = hold_to(allowance_of(job)) | confine_parser(write=_output(job), read=_inputs(job))
    standard_error().threaded = True
    if missing:
        logging.getLogger(__name__).debug("not confined in every way: %s", said(missing))
    threading.Thread(target=_die_with_parent, daemon=True).start()
    with open(answer, "wb") as pipe:  # noqa: PTH123 (it is a descriptor already)

        def report(said: Said) -> None:
            pipe.write(msgspec.json.encode(said) + b"\n")
            pipe.flush()

        report(perform(job, _sometimes(report)))


def _output(job: Job) -> Path:
    """The directory that the files of `job` are written to."""
    if isinstance(job, PublishJob | ExportJob):
        return Path(job.directory)
    return Path(job.parsed if isinstance(job, Parse) else job.directory).parent


def _inputs(job: Job) -> list[Path]:
    """The files that `job` reads."""
    if isinstance(job, Parse):
        return [Path(path) for path in (job.raw, job.before, job.popularity) if path]
    if isinstance(job, PublishJob):
        return [Path(path) for path in (job.blockset, job.before) if path]
    if isinstance(job, ExportJob):
        return [Path(job.blockset), *(Path(feed.before) for feed in job.feeds if feed.before)]
    popularity = job.protection.popularity
    return [*(Path(part.blockset or part.parsed) for part in job.parts), *([Path(popularity)] if popularity else [])]


def perform(job: Job, progress: Callable[[str, int, int], None] = lambda *_: None) -> Result:
    """Do `job`. What can be expected to go wrong comes back as `Failed`."""
    try:
        if isinstance(job, PublishJob):
            return publish(job, progress)
        if isinstance(job, ExportJob):
            return export(job)
        return parse(job) if isinstance(job, Parse) else compile_all(job, progress)
    except OSError as exc:
        return Failed(disk_reason(exc, _output(job)), stopped=exc.errno == errno.EFBIG)
    except MemoryError:
        allowed = f"more than {allowance_of(job).memory_bytes // MIB:,} MiB of memory, or than this machine has"
        return Failed(f"stopped: it needed {allowed}: lower max_bytes", stopped=True)


def _sometimes(report: Callable[[Said], None]) -> Callable[[str, int, int], None]:
    """Reports progress at most once in `_PROGRESS_EVERY_S`."""
    reported_s = 0.0

    def progress(doing: str, done: int, total: int) -> None:
        nonlocal reported_s
        if (now_s := time.monotonic()) >= reported_s + _PROGRESS_EVERY_S:
            reported_s = now_s
            report(Progress(doing, done, total))

    return progress


def parse(job: Parse) -> Parsed | Failed:
    """Judge a list: its entries are written if there is at least one. Raises `OSError`."""
    if fleet_feed(job.feed.url):
        return parse_text(job)
    raw = Path(job.raw)
    if not raw.stat().st_size:
        return Failed("the list is empty", unusable=True)
    try:
        if not job.packed and source_path(job.feed.url) is not None and is_tar(raw):
            return Failed("a tar archive, not a list: unpack it, and set url to the directory", unusable=True)
        parsed = parse_all(raw, job.feed) if job.packed else parse_feed(raw, job.feed)
    except FeedError as exc:
        return Failed(exc.reason if not exc.line else f"line {exc.line}: {exc.reason}", unusable=True)
    entries, addresses = parsed.entries, len(parsed.networks)
    others = parsed.exceptions + len(parsed.actions.of_clients) if parsed.actions.table else 0  # which say something then
    if not entries and not (job.feed.addresses and addresses) and not others:
        return Failed(_nothing_in(parsed), unusable=True)
    before = _entries(job.before)
    popular = popular_keys(Path(job.popularity)) if job.popularity else []
    changes, changes_of_networks = write_entries(
        Path(job.parsed), parsed, before, int(job.now_s // DAY_S), int(job.seen_s // DAY_S), popular
    )
    sync(raw)
    listed = {key for key in _in_both(popular, parsed.names) if parsed.names[key] & BLOCK_SUBTREE}
    change = Change(
        entries=entries + addresses or others,
        before=job.entries_before,
        fresh=changes.fresh + changes_of_networks.fresh,
        removed=changes.removed + changes_of_networks.removed,
        added=changes.added + changes_of_networks.added,
        popular=len(listed - changes.found_before),
        popular_before=len(changes.found_before),
    )
    return Parsed(
        format=parsed.format,
        lines=parsed.lines,
        entries=entries,
        addresses=addresses,
        odd=parsed.odd,
        notes=parsed.notes,
        added=changes.added if before is not None else None,
        removed=changes.removed if before is not None else None,
        change=change,
        finding=_finding(job, change, parsed.names, listed - changes.found_before),
    )


def compile_all(job: Compile, progress: Callable[[str, int, int], None] = lambda *_: None) -> Compiled | Failed:
    """Make the blockset, all lists side by side. Raises `OSError`."""
    damaged: list[str] = []
    try:
        protected = ProtectedNames(job.protection)
    except OSError as exc:
        return Failed(f"guard.popularity: {exc.filename} cannot be read: {exc.strerror}")
    inputs: list[tuple[Feed, Entries | Salvaged]] = []
    opened: dict[str, tuple[Blockset, Annotations]] = {}
    for part in job.parts:
        try:
            if not part.blockset:
                inputs.append((part.feed, Entries(Path(part.parsed))))
                continue
            if part.blockset not in opened:
                blockset = Blockset.open(Path(part.blockset))
                opened[part.blockset] = blockset, Annotations(blockset)
            inputs.append((part.feed, Salvaged(*opened[part.blockset], part.feed.name)))
        except DamagedEntries:
            damaged.append(part.feed.name)
        except BlocksetError as exc:
            return Failed(str(exc))
    if damaged:
        return _damaged(damaged)
    sieves = {part.feed.name: protected.sieve(part.decided, part.feed.name) for part in job.parts}
    try:
        manifest = compile_blockset(
            inputs, Path(job.directory), job.generation, job.created_s, progress, lambda feed: sieves[feed.name]
        )
    except DamagedEntries as exc:
        return _damaged([part.feed.name for part in job.parts if part.parsed == str(exc)])
    except BlocksetError as exc:
        if isinstance(exc.__cause__, OSError):
            raise exc.__cause__ from None
        return Failed(str(exc))
    held = {name: sieve.held for name, sieve in sieves.items()}
    return Compiled(manifest.entries, manifest.feeds, held, manifest.next_expiry_s)


def _entries(path: str) -> Entries | None:
    try:
        return Entries(Path(path)) if path else None
    except DamagedEntries:
        return None


def _damaged(names: list[str]) -> Failed:
    return Failed(f"damaged on disk: the entries of {', '.join(names)}", damaged=tuple(names))


def _in_both(keys: Sequence[bytes], names: Mapping[bytes, int]) -> list[bytes]:
    """Those of `keys`, which are sorted, that `names` has; whichever are fewer are looked up among the others."""
    if len(keys) < len(names):
        return [key for key in keys if key in names]
    places = ((bisect_left(keys, name), name) for name in names)
    return [name for at, name in places if at < len(keys) and keys[at] == name]


def _finding(job: Parse, change: Change, names: Mapping[bytes, int], popular: set[bytes]) -> HoldReason | None:
    """What is wrong with `change`, with some of the names that make the difference."""
    finding = judge(change, job.limits) if job.limits is not None else None
    if finding is None:
        return None
    if finding.kind == "popularity":
        examples = islice(sorted(popular), MAX_EXAMPLES)
    else:
        own, before = Names.of(names), _listed_in(_entries(job.before))
        examples = islice(_only_in(before, own) if finding.kind == "shrink" else _only_in(own, before), MAX_EXAMPLES)
    return msgspec.structs.replace(finding, examples=[to_text(from_reversed_key(key)) for key in examples])


def _listed_in(entries: Entries | None) -> Iterator[bytes]:
    """The names of a list, in their order; of a damaged one those before the damage."""
    with suppress(DamagedEntries):
        for block in entries.names() if entries is not None else ():
            yield from compress(block.keys, block.bits)


def _only_in(keys: Iterable[bytes], others: Iterable[bytes]) -> Iterator[bytes]:
    """Those of `keys` that `others` lacks; both are sorted, and none is held."""
    rest = iter(others)
    other = next(rest, None)
    for key in keys:
        while other is not None and other < key:
            other = next(rest, None)
        if other != key:
            yield key


def _nothing_in(parsed: ParsedFeed) -> str:
    if parsed.exceptions:
        count = f"{parsed.exceptions:,} exception{'' if parsed.exceptions == 1 else 's'}"
        return f"{count} and no name to block, read as {parsed.format}: exceptions reach only what the same feed lists"
    reason = f"no names in {parsed.lines:,} lines, read as {parsed.format}"
    if not parsed.odd:
        return reason
    commonest, lines = max(parsed.odd.items(), key=lambda item: item[1].count)
    example = f", as in {lines.examples[0]}" if lines.examples else ""
    advice = "; url_hosts = true lists the hosts of URLs" if commonest in (Reason.URL, Reason.URL_WITH_PATH) else ""
    return f"{reason}; most often {commonest}{example}{advice}"


def _die_with_parent() -> None:
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    main()
