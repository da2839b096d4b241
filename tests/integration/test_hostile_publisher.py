"""A publisher who means harm beside an honest one, in the real program: the other is up to date, and nothing is unblocked."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from pdns.state import feed_status
from tests.fakes.hostile import BODIES
from tests.integration.running_pdns import SINKHOLE, RunningPdns, UpstreamThread
from tests.unit.feeds.feedserver import FeedServer

SERVED = (
    "zip with LZMA that lies", "zip with deflate that lies", "zip whose files overlap", "empty gzip members", "empty xz streams",
    "STIX pattern of brackets",
)  # fmt: skip
FILES = ("a sparse tar file", "a tar file with a link to itself", "empty lines")
REFUSED = {  # what must be in the reason; the rest may list the names that are in them
    "zip with LZMA that lies": "method 14",
    "zip with deflate that lies": "not what its directory says",
    "zip whose files overlap": "overlap",
    "empty gzip members": "too many parts",
    "empty xz streams": "too many parts",
    "a sparse tar file": "a tar archive",
    "a tar file with a link to itself": "a tar archive",
}
GOOD = b"good.evil.example\n"


def feed_name(name: str) -> str:
    return name.lower().replace(" ", "-")[:32].rstrip("-")


@pytest.mark.long
@pytest.mark.timeout(600)
def test_honest_feeds_beside_a_hostile_publisher(tmp_path: Path) -> None:
    """All the hostile feeds had a good list once: its name stays blocked, each has its reason, and the honest feed's new name
    is blocked while they are at it; commands are carried out with rubbish among them.
    """
    with FeedServer() as server, UpstreamThread() as upstream:
        feeds: list[dict[str, Any]] = [{"name": "honest", "url": server.url("/honest")}]
        server.serve("/honest", b"first.honest.example\n")
        for number, name in enumerate((*SERVED, *FILES)):
            hostile = BODIES[name]
            (tmp_path / f"{number}.list").write_bytes(GOOD)
            server.serve(f"/{number}", GOOD)
            url = server.url(f"/{number}") if name in SERVED else (tmp_path / f"{number}.list").as_uri()
            feed = {"name": feed_name(name), "url": url, "max_bytes": 64_000_000}
            feeds.append(feed | {"format": "auto" if hostile.format in ("json", "jsonl", "misp", "stix") else hostile.format})
        config = {"upstream": {"servers": [upstream.address]}, "feed": feeds}
        with RunningPdns(tmp_path, config) as pdns:
            pdns.wait_for(lambda: pdns.addresses("first.honest.example") == [SINKHOLE], "the honest list is in force", 120)
            pdns.wait_for(lambda: pdns.addresses("good.evil.example") == [SINKHOLE], "the others are in force", 120)
            requests = pdns.state_dir / "requests"
            (requests / "1-1-1.order").mkdir()
            os.mkfifo(requests / "1-1-2.order")
            with socket.socket(socket.AF_UNIX) as unix:
                unix.bind(str(requests / "1-1-3.order"))
            feeds_process = pdns.feeds_pid
            for number, name in enumerate((*SERVED, *FILES)):
                content = BODIES[name].make()
                server.serve(f"/{number}", content)
                (tmp_path / f"{number}.new").write_bytes(content)
                (tmp_path / f"{number}.new").rename(tmp_path / f"{number}.list")
            server.serve("/honest", b"first.honest.example\nsecond.honest.example\n")
            (requests / "update").touch()
            pdns.wait_for(lambda: pdns.addresses("second.honest.example") == [SINKHOLE], "the honest feed is up to date", 120)

            def reasons() -> dict[str, str]:
                status = feed_status.read(pdns.state_dir)
                assert status is not None
                return {name: status.feeds[feed_name(name)].last_error for name in REFUSED}

            pdns.wait_for(lambda: all(REFUSED[name] in reason for name, reason in reasons().items()), "each has its reason", 120)
            assert pdns.addresses("good.evil.example") == [SINKHOLE]
            assert pdns.addresses("first.honest.example") == [SINKHOLE]
            assert pdns.addresses("www.example.net") not in ([SINKHOLE], [])
            assert pdns.feeds_pid == feeds_process
            assert not list(requests.glob("*.order"))
            took = sum(path.stat().st_size for path in pdns.state_dir.rglob("*") if path.is_file())
            assert took < 200_000_000
