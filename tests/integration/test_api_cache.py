"""What is cached for a name, and dropping it: from every worker, also from one that is away, while queries are answered."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.upstream import answer
from tests.integration.apiclient import ADMIN, Api, admin_section
from tests.integration.changingzones import Load
from tests.integration.running_pdns import ROOT, RunningPdns, UpstreamThread


class Cached(Api):
    """A program, its upstream, and what it answers."""

    def __init__(self, pdns: RunningPdns, upstream: UpstreamThread) -> None:
        super().__init__(pdns)
        self.upstream = upstream

    def flush(self, name: str, *, below: bool = False) -> str:
        done = self.local("POST", "/api/cache/flush", {"name": name, "below": below})
        assert done.status == 200, done
        return str(done.body["text"])

    def asked(self, name: str) -> bool:
        """Whether a query for `name` reaches the upstream."""
        before = len(self.upstream.names)
        assert self.pdns.addresses(name)
        return len(self.upstream.names) > before

    def cli(self, *words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "pdns", *words, "-c", str(self.pdns.config_path)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Cached]:
    with UpstreamThread(answer(ttl_s=300)) as upstream:
        config = {"upstream": {"servers": [upstream.address]}, "admin": admin_section(tmp_path, token=[])}
        with RunningPdns(tmp_path, config) as pdns:
            yield Cached(pdns, upstream)


def test_a_name_and_what_is_below_it(api: Cached) -> None:
    """Exactly these are dropped: the name itself in any case, or the subtree; the upstream is asked for them, not for others."""
    names = ["example.net", *(f"h{number}.example.net" for number in range(8)), "notexample.net", "net"]
    for name in names:
        assert api.asked(name)
    assert not any(api.asked(name) for name in names)
    assert api.flush("EXAMPLE.net.").startswith("1 cached")
    assert [name for name in names if api.asked(name)] == ["example.net"]
    assert api.flush("example.net", below=True).startswith("9 cached")
    assert [name for name in names if api.asked(name)] == names[:9]
    assert api.flush("nothing.example", below=True).startswith("0 cached")
    assert api.flush(".", below=True).startswith("11 cached")
    assert all(api.asked(name) for name in names)


def test_every_type_is_shown(api: Cached) -> None:
    """With its records, its code and how long it is kept; a look changes nothing. The command line shows the same."""
    for qtype in ("A", "AAAA", "TXT"):
        api.pdns.ask("www.example.net", qtype)
    shown = api.call("GET", "/api/cache?name=www.example.net", ADMIN).body
    assert shown["count"] == 3
    (first,) = [one for one in shown["answers"] if one["qtype"] == "A"]
    assert first["answer"] == ["www.example.net. 300 IN A 192.0.2.7"]
    assert (first["rcode"], first["source"], first["hits"]) == ("NOERROR", "upstream", 0)
    assert 290 < first["expires_in_s"] <= 300
    api.pdns.ask("www.example.net")
    (first,) = [one for one in api.call("GET", "/api/cache?name=www.example.net", ADMIN).body["answers"] if one["qtype"] == "A"]
    assert first["hits"] == 1
    code, text = api.cli("cache", "show", "www.example.net")
    assert code == 0
    assert "A 192.0.2.7" in text
    assert api.cli("cache", "flush", "example.net", "--below", "--reason", "wrong answers")[1].startswith("3 cached answers")
    assert "nothing is cached" in api.cli("cache", "show", "www.example.net")[1]
    assert "wrong answers" in api.cli("audit", "--last", "1")[1]
    assert api.call("GET", "/api/cache?name=..", ADMIN).status == 400
    assert api.call("GET", "/api/cache", ADMIN).status == 400


def test_a_worker_that_is_away_drops_it_too(api: Cached) -> None:
    """Its answers outlive it: the command waits for the next process, and then they are gone."""
    names = [f"h{number}.example.net" for number in range(16)]  # on both workers
    for name in names:
        assert api.asked(name)
    halted = api.pdns.kill_worker(signal.SIGSTOP)
    later = threading.Timer(0.5, os.kill, (halted, signal.SIGKILL))
    later.start()
    assert api.flush("example.net", below=True).startswith("16 cached")
    later.join()
    assert all(api.asked(name) for name in names)


def test_a_worker_that_does_not_answer_is_named(api: Cached) -> None:
    """After some seconds the command fails and says which one. (The supervisor replaces a worker that hangs; here it may not.)"""
    api.pdns.stop()
    api.pdns.write_config({"server": {"workers": 1}})
    api.pdns.start()
    worker = api.pdns.worker_pid
    done = threading.Event()

    def halt() -> None:
        while not done.wait(0.05):
            for pid in api.pdns.worker_pids:
                os.kill(pid, signal.SIGSTOP)

    os.kill(worker, signal.SIGSTOP)
    thread = threading.Thread(target=halt)
    thread.start()
    try:
        refused = api.local("POST", "/api/cache/flush", {"name": "example.net"})
    finally:
        done.set()
        thread.join()
        for pid in api.pdns.worker_pids:
            os.kill(pid, signal.SIGCONT)
    assert refused.status == 504
    assert "worker0" in refused.body["error"]
    api.pdns.wait_for(lambda: api.pdns.get("/readyz")[0] == 200, "it answers again")


def test_a_roll_of_the_workers_in_between(api: Cached) -> None:
    """While each worker is replaced by a new process, flushes go on, and none leaves an answer behind."""
    api.pdns.send_signal(signal.SIGUSR2)
    for turn in range(20):
        name = f"t{turn}.example.net"
        assert api.asked(name)
        assert "cached answers for example.net and below" in api.flush("example.net", below=True)
        assert api.asked(name), turn
    api.pdns.wait_for_log("is a new process", times=2)


@pytest.mark.parametrize("queries_per_s", [1000, pytest.param(10_000, marks=pytest.mark.long)])
def test_flushes_under_load(api: Cached, queries_per_s: int) -> None:
    """A cache of many answers is searched while queries are answered: none is lost."""
    with Load(api.pdns.dns_port, "moving.example", queries_per_s) as load:
        for turn in range(20):
            api.flush("moving.example" if turn % 2 else ".", below=True)
    assert load.lost == 0
    assert {one.rcode for one in load.received} == {0}
