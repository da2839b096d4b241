"""A node judges releases by its own traffic: the real program under load."""

from __future__ import annotations

import itertools
import socket
import threading
from pathlib import Path
from typing import Self

import dns.message
import pytest

from tests.integration.running_pdns import RunningPdns, UpstreamThread
from tests.integration.test_fleet_node import is_blocked, node_config, status, until_blocked, until_release
from tests.unit.feeds.fleet.smallpublisher import SmallPublisher, text_of

PAUSE_S = 0.002


class Load:
    """Queries without an end, for `names` in turn."""

    def __init__(self, port: int, *names: str) -> None:
        self._port = port
        self.names = list(names)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.sent = self.lost = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        for number in itertools.count():
            if self._stop.wait(PAUSE_S):
                return
            name = self.names[number % len(self.names)]
            query = dns.message.make_query(name, "A")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(5.0)
                client.sendto(query.to_wire(), ("127.0.0.1", self._port))
                self.sent += 1
                try:
                    client.recv(4096)
                except TimeoutError:
                    self.lost += 1


@pytest.mark.long
def test_a_bad_list_is_reverted_under_load(tmp_path: Path) -> None:
    """A release that lists what everyone asks for ends within seconds and is not tried again, also after a restart. More queries
    of names that were listed before do not end a release. No query is lost.
    """
    publisher = SmallPublisher(tmp_path / "publisher")
    listed = [f"bad{number}.example" for number in range(10)]
    publisher.publish({"a": text_of(*listed)})
    usual = [*(f"site{number}.example" for number in range(95)), *listed[:5]]
    with UpstreamThread() as upstream, RunningPdns(tmp_path, node_config(publisher, upstream, gate_queries=100)) as pdns:
        until_blocked(pdns, listed[0])
        with Load(pdns.dns_port, *usual, *["popular.example"] * 5) as load:
            before = load.sent
            pdns.wait_for(lambda: load.sent > before + 1500, "a history")
            publisher.publish({"a": text_of(*listed, "popular.example", "new.example")})
            pdns.wait_for(lambda: [one.number for one in status(pdns).refused] == [2], "release 2 is refused")
            until_release(pdns, 1)
            until_blocked(pdns, "popular.example", blocked=False)
            (refused,) = status(pdns).refused
            assert "blocked by names that were not listed before" in refused.reason
            assert "popular.example" in refused.reason
            assert "release 2 is refused here" in pdns.get("/readyz")[1]
            assert is_blocked(pdns, listed[0])
        assert load.lost == 0
        pdns.kill()
        pdns.start()
        publisher.sign()
        pdns.wait_for(lambda: status(pdns).sequence == publisher.sequence, "the next pointer")
        assert status(pdns).release == 1
        assert not is_blocked(pdns, "popular.example")
        with Load(pdns.dns_port, *usual) as load:
            pdns.wait_for(lambda: load.sent > 1500, "a history")
            publisher.publish({"a": text_of(*listed, "new.example")})
            until_release(pdns, 3)
            load.names = [*usual, *listed * 10]
            sent = load.sent
            pdns.wait_for(lambda: load.sent > sent + 3000, "an attack")
            assert status(pdns).release == 3
        assert load.lost == 0
