"""`pdns health`: the verdict on a server, and how it becomes a steady state."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from pdns.__main__ import build
from pdns.cli.health_probe import DEGRADED, DOWN, UP, Address, Probe, ProbeResult, Steady, follow

LOCAL = b"\x09localhost\x00"
STATES = (DOWN, DEGRADED, UP)


class Server:
    """Answers queries over UDP with the rcodes that `rcode` says, None: not; and HTTP with `page`."""

    def __init__(self) -> None:
        self.rcode: Callable[[bytes], int | None] = lambda _: 0
        self.page = b"HTTP/1.1 200 OK\r\n\r\nok\n"
        self.asked: list[bytes] = []
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", 0))
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=job, daemon=True) for job in (self._answer, self._serve)]
        for thread in self._threads:
            thread.start()

    @property
    def dns(self) -> Address:
        host, port = self._udp.getsockname()
        return host, port

    @property
    def metrics(self) -> Address:
        host, port = self._tcp.getsockname()
        return host, port

    def _answer(self) -> None:
        while query := self._udp.recvfrom(4096):
            wire, client = query
            if not wire:
                return
            self.asked.append(wire[12:-4])
            rcode = self.rcode(wire[12:-4])
            if rcode is not None:
                self._udp.sendto(b"\x00\x00" + wire[2:], client)  # to another question
                self._udp.sendto(wire[:2] + bytes([0x81, 0x80 | rcode]) + wire[4:], client)

    def _serve(self) -> None:
        while True:
            sock, _ = self._tcp.accept()
            with sock:
                if not (request := sock.recv(4096)):
                    return
                assert request.startswith(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1:")
                sock.sendall(self.page)

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self.dns)
        socket.create_connection(self.metrics).close()
        for thread in self._threads:
            thread.join()
        self._udp.close()
        self._tcp.close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def test_verdicts(server: Server, tmp_path: Path) -> None:
    """A server is down if it is not ready or does not answer, and degraded if only its upstreams fail or in maintenance."""
    patient = Probe(server.dns, server.metrics, 30.0, "example.org", tmp_path / "maintenance")
    quick = patient._replace(timeout_s=0.1)
    assert patient.run() == ProbeResult(UP)
    server.rcode = lambda name: 3
    assert patient.run() == ProbeResult(UP)
    server.rcode = lambda name: 0 if name == LOCAL else 2
    assert patient.run() == ProbeResult(DEGRADED, "names below example.org: SERVFAIL")
    server.rcode = lambda name: 0 if name == LOCAL else None
    assert quick.run() == ProbeResult(DEGRADED, "names below example.org: no answer within 0.2 s")
    assert patient._replace(forwarded="").run() == ProbeResult(UP)
    (tmp_path / "maintenance").touch()
    assert patient.run().state == DEGRADED
    server.rcode = lambda name: 5
    assert patient.run() == ProbeResult(DOWN, "localhost: REFUSED: add the address to access.networks")
    server.rcode = lambda name: None
    assert quick.run() == ProbeResult(DOWN, "localhost: no answer within 0.1 s")
    server.page = b"HTTP/1.1 503 No\r\n\r\nworker0: starting\nmore\n"
    assert patient.run() == ProbeResult(DOWN, "/readyz: worker0: starting")
    server.rcode = lambda name: 0
    assert patient._replace(metrics=None, maintenance=None).run() == ProbeResult(UP)


def test_forwarded_names_are_new(server: Server) -> None:
    """No cache can answer the question for upstreams."""
    probe = Probe(server.dns, None, 30.0, "example.org")
    assert [probe.run().state for _ in range(3)] == [UP] * 3
    names = [name for name in server.asked if name != LOCAL]
    assert all(name.endswith(b"\x07example\x03org\x00") for name in names)
    assert len(set(names)) == 3


def test_no_server() -> None:
    """Where nothing listens, the reason says so."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        host, port = sock.getsockname()
    assert Probe((host, port), (host, port), 30.0).run() == ProbeResult(DOWN, "/readyz: connection refused")
    assert Probe((host, port), None, 30.0).run() == ProbeResult(DOWN, "localhost: connection refused")


@given(st.lists(st.sampled_from(STATES)), st.integers(1, 4), st.integers(1, 4))
def test_steady(verdicts: list[str], rise: int, fall: int) -> None:
    """The state changes after so many verdicts in a row on one side of it, to the nearest of them, and only then."""
    steady = Steady(rise, fall)
    run: list[str] = []
    for verdict in verdicts:
        before = steady.state
        rank, now = STATES.index(before), STATES.index(verdict)
        if now == rank or (run and (STATES.index(run[-1]) > rank) != (now > rank)):
            run = []
        run += [verdict] if now != rank else []
        due = bool(run) and len(run) == (rise if now > rank else fall)
        assert steady.add(verdict) == due
        if due:
            nearest = min(run, key=lambda state: abs(STATES.index(state) - rank))
            assert steady.state == nearest
            run = []
        else:
            assert steady.state == before


def test_follow_reports_changes_only() -> None:
    """The first state is said at once: a program that was told something before learns that it no longer holds."""
    gone = ProbeResult(DOWN, "gone")
    verdicts = iter([ProbeResult(UP), ProbeResult(UP), gone, ProbeResult(UP), gone, gone])
    said: list[ProbeResult] = []
    waits: list[float] = []
    with pytest.raises(StopIteration):
        follow(lambda: next(verdicts), Steady(2, 2), 7.0, said.append, waits.append)
    assert said == [ProbeResult(DOWN), ProbeResult(UP), ProbeResult(DOWN, "gone")]
    assert len(waits) == 6
    assert 0 < max(waits) <= 7.0


def test_follow_repeats_the_state() -> None:
    """For programs that forget what they were told: the state, not the last verdict, and without a reason."""
    verdicts = iter([ProbeResult(DOWN, "gone"), *[ProbeResult(UP)] * 3, ProbeResult(DOWN, "gone")])
    said: list[ProbeResult] = []
    with pytest.raises(StopIteration):
        follow(lambda: next(verdicts), Steady(2, 2), 0.0, said.append, lambda _: None, repeat_s=1e-9)
    assert said == [ProbeResult(DOWN, "gone"), ProbeResult(DOWN), ProbeResult(UP), ProbeResult(UP), ProbeResult(UP)]


def test_the_command(server: Server) -> None:
    """It prints the state and exits with its code; wrong options are errors that say what is expected."""
    app, run = build(("health", "check")), CliRunner().invoke
    options = ["--server", f"127.0.0.1:{server.dns[1]}", "--metrics", f"127.0.0.1:{server.metrics[1]}", "--timeout", "30"]
    done = run(app, ["health", *options])
    assert (done.exit_code, done.stdout) == (0, "up\n")
    server.rcode = lambda name: 0 if name == LOCAL else 2
    done = run(app, ["health", *options, "--forwarded", "bücher.example."])
    assert (done.exit_code, done.stdout) == (3, "degraded\n")
    assert "names below xn--bcher-kva.example: SERVFAIL" in done.stderr
    server.page = b"HTTP/1.1 503 No\r\n\r\nno blockset\n"
    done = run(app, ["health", *options])
    assert (done.exit_code, done.stdout, done.stderr) == (1, "down\n", "pdns health: /readyz: no blockset\n")
    for wrong in (["--server", "dns.example"], ["--metrics", "x"], ["--forwarded", "a..b"], ["--rise", "0"]):
        assert run(app, ["health", *wrong]).exit_code == 2
