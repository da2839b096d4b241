"""From a changed list to a blocked query, as `pdns_indicator_to_block_seconds` measures it."""

from __future__ import annotations

import time
from pathlib import Path

from pdns.config.load import load
from pdns.report.promptness import promptness
from tests.integration.busyscene import command
from tests.integration.running_pdns import SINKHOLE, RunningPdns, UpstreamThread, feed
from tests.unit.feeds.feedserver import FeedServer

COUNT = "indicator_to_block_seconds_count"
SUM = "indicator_to_block_seconds_sum"


def page(*names: str) -> bytes:
    return "".join(f"{name}\n" for name in names).encode()


def test_updates_are_measured(tmp_path: Path) -> None:
    """A list over HTTP and one in a file: the first load counts nothing, an update with a new name one value, at most the time
    since the change; an update that only removes names nothing. A held update counts from its release.
    """
    with FeedServer() as server, UpstreamThread() as upstream:
        server.serve("/list", page("bad.example", "worse.example"))
        config = {
            "upstream": {"servers": [upstream.address]},
            "feed": [
                {"name": "web", "url": server.url("/list"), "required": True},
                feed(tmp_path, "file", "first.example"),
                feed(tmp_path, "trial", "trial.example", mode="monitor", required=False),
            ],
        }
        with RunningPdns(tmp_path, config) as pdns:
            pdns.wait_for(lambda: pdns.addresses("bad.example") == pdns.addresses("first.example") == [SINKHOLE], "blocked")
            assert [(dict(labels), value) for (name, labels), value in sorted(pdns.scrape().items()) if name == COUNT] == [
                ({"feed": "file"}, 0.0), ({"feed": "web"}, 0.0),
            ]  # fmt: skip

            changed_s = time.monotonic()
            server.serve("/list", page("bad.example", "worse.example", "new.example"))
            command(pdns, "feeds", "update")
            pdns.wait_for_value(1.0, COUNT, feed="web")
            assert 0.0 < pdns.value(SUM, feed="web") <= time.monotonic() - changed_s
            assert pdns.addresses("new.example") == [SINKHOLE]

            changed_s = time.monotonic()
            feed(tmp_path, "trial", "trial.example", "other.example")
            feed(tmp_path, "file", "first.example", "second.example")
            pdns.wait_for_value(1.0, COUNT, feed="file")
            assert 0.0 < pdns.value(SUM, feed="file") <= time.monotonic() - changed_s
            assert pdns.addresses("second.example") == [SINKHOLE]

            generation = pdns.value("blockset_generation")
            server.serve("/list", page("bad.example", "new.example"))
            command(pdns, "feeds", "update")
            pdns.wait_for(lambda: pdns.value("blockset_generation") > generation, "a blockset with one name less")

            before_s = pdns.value(SUM, feed="file")
            command(pdns, "feeds", "hold", "file", "--reason", "test")
            feed(tmp_path, "file", "first.example", "third.example")
            pdns.wait_for(lambda: pdns.value("feed_update_held_seconds", feed="file") > 0, "held")
            time.sleep(1.0)
            released_s = time.monotonic()
            command(pdns, "feeds", "release", "file", "--reason", "test")
            pdns.wait_for_value(2.0, COUNT, feed="file")
            assert pdns.value(SUM, feed="file") - before_s <= time.monotonic() - released_s
            assert pdns.value(COUNT, feed="web") == 1.0
            assert pdns.value(COUNT) == 3.0
        said = promptness(load(pdns.config_path), 0.0, time.time() + 60)
        assert said.updates == said.in_time == 3 or said.most_s > 60.0
