"""The shipped units under a real systemd: start, readiness, reload, SIGUSR2, watchdog, credentials, sockets, stop."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import dns.exception
import dns.message
import dns.query
import dns.rcode
import pytest

from loadtest.loopback import free_port
from tests.integration.realsystemd import SERVICE, SOURCE, RealSystemd, why_not
from tests.integration.running_pdns import UpstreamThread

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())

ADDRESS = "127.77.0.1"  # of loopback, where port 53 is free
LOG = f"""[Service]
StandardOutput=append:/var/log/{SERVICE}.log
StandardError=append:/var/log/{SERVICE}.log
"""
SOCKETS = f"""[Socket]
ListenDatagram=
ListenStream=
ListenDatagram={ADDRESS}:53
ListenDatagram={ADDRESS}:53
ListenStream={ADDRESS}:53
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[UpstreamThread]:
    with UpstreamThread() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def metrics_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def systemd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealSystemd]:
    with RealSystemd(tmp_path_factory.mktemp("systemd")) as systemd:
        systemd.drop_in(LOG, name="log")
        yield systemd


@pytest.fixture
def config(upstream: UpstreamThread, metrics_port: int) -> str:
    return f"""[server]
listen = ["{ADDRESS}:53"]
workers = 2
drain_s = 1
[upstream]
servers = ["{upstream.address}"]
[metrics]
listen = "127.0.0.1:{metrics_port}"
[state]
dir = "/var/lib/{SERVICE}"
"""


@pytest.fixture(autouse=True)
def stopped(systemd: RealSystemd) -> Iterator[None]:
    """Each test begins and ends without the service, and with the units as shipped."""
    yield
    systemd.ctl("stop", f"{SERVICE}.socket", SERVICE, check=False)
    systemd.ctl("reset-failed", check=False)
    systemd.run("sh", "-c", f"rm -rf /run/systemd/system/*.d/test.conf /var/log/{SERVICE}.log")
    systemd.ctl("daemon-reload")


def ask(name: str, *, tcp: bool = False, timeout_s: float = 20.0) -> dns.message.Message:
    send = dns.query.tcp if tcp else dns.query.udp
    return send(dns.message.make_query(name, "A"), ADDRESS, timeout=timeout_s)


def test_start_reload_upgrade_stop(systemd: RealSystemd, config: str) -> None:
    """The hardened unit starts, answers on port 53 with one capability, reloads, is upgraded, and stops well."""
    systemd.configure(config)
    systemd.ctl("start", SERVICE)
    assert ask("www.example.net").answer
    assert ask("www.example.net", tcp=True).answer
    assert systemd.show("StatusText") == "ready: queries are answered"
    status = Path(f"/proc/{systemd.main_pid()}/status").read_text()
    assert "CapEff:\t0000000000000400\n" in status
    assert "NoNewPrivs:\t1\n" in status
    assert "Seccomp:\t2\n" in status
    assert "do not support these confinement measures" not in systemd.log.replace("does", "do")

    systemd.ctl("reload", SERVICE)
    systemd.wait_for(lambda: " is live " in systemd.log, "the reload")
    systemd.wait_for(lambda: systemd.show("SubState") == "running", "the end of the reload")
    systemd.configure("broken")
    systemd.ctl("reload", SERVICE)
    systemd.wait_for(lambda: "the previous configuration stays live" in systemd.log, "the refusal")
    systemd.wait_for(lambda: systemd.show("SubState") == "running", "the end of the reload")
    assert ask("www.example.net").answer
    systemd.configure(config)

    systemd.ctl("kill", "-s", "USR2", "--kill-whom=main", SERVICE)
    systemd.wait_for(lambda: "the workers and feeds are new processes" in systemd.log, "the upgrade")
    assert ask("www.example.net").answer
    systemd.ctl("stop", SERVICE)
    assert systemd.show("Result") == "success"
    assert systemd.show("NRestarts") == "0"
    assert "Traceback" not in systemd.log


def test_a_supervisor_that_hangs_is_restarted(systemd: RealSystemd, config: str) -> None:
    """The service manager restarts a service whose supervisor does not ping; before, its workers answer all the same."""
    systemd.configure(config)
    systemd.drop_in("[Service]\nWatchdogSec=5\nTimeoutAbortSec=1\n")
    systemd.ctl("start", SERVICE)
    time.sleep(6)  # longer than WatchdogSec: pings are sent
    assert systemd.show("NRestarts") == "0"
    before = systemd.main_pid()
    os.kill(before, signal.SIGSTOP)
    assert ask("www.example.net").answer
    systemd.wait_for(lambda: systemd.show("NRestarts") == "1" and systemd.show("SubState") == "running", "the restart")
    assert systemd.main_pid() != before
    assert ask("www.example.net").answer


def test_credentials(systemd: RealSystemd, config: str) -> None:
    """A secret that only root can read on the disk reaches the service, and commands of root find it too."""
    token = "a-token-of-the-administrator"
    systemd.write("/etc/protective-dns/secrets/admin-token", token, 0o600)
    systemd.drop_in("[Service]\nLoadCredential=admin-token:/etc/protective-dns/secrets/admin-token\n")
    port = free_port()
    systemd.configure(f'{config}[admin]\nlisten = "127.0.0.1:{port}"\ntoken_file = "credential:admin-token"\n')
    systemd.ctl("start", SERVICE)
    url = f"http://127.0.0.1:{port}/api/stats"
    code = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}"]
    assert systemd.run(*code, "-H", f"Authorization: Bearer {token}", url) != "401"
    assert systemd.run(*code, "-H", "Authorization: Bearer another-token-of-some-length", url) == "401"
    systemd.ctl("reload", SERVICE)
    systemd.wait_for(lambda: " is live " in systemd.log, "the reload")
    assert "token_file" not in systemd.run("pdns", "check", "-c", "/etc/protective-dns/pdns.toml")
    systemd.configure(f'{config}[admin]\ntoken_file = "credential:admin-tokens"\n')
    said = systemd.run("pdns", "check", "-c", "/etc/protective-dns/pdns.toml", check=False)
    assert "no credential has this name (admin-token)" in said
    assert token not in systemd.log + said


def test_the_directory_of_the_track_file_comes_first(systemd: RealSystemd) -> None:
    """Keepalived, which is started together, finds it; otherwise it would ignore the health until its next start."""
    systemd.write("/usr/local/sbin/protective-dns-health", "#!/bin/sh\nexec sleep 3600\n", 0o755)
    look = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/bin/test -d /run/protective-dns\n"
    systemd.write("/run/systemd/system/keepalived.service", look)
    both = f"keepalived.service {SERVICE}-health.service"
    systemd.write("/run/systemd/system/both.target", f"[Unit]\nWants={both}\nAfter={both}\n")
    systemd.ctl("daemon-reload")
    assert "keepalived.service" in systemd.show("Before", f"{SERVICE}-health").split()
    try:
        systemd.ctl("start", "both.target")
        assert systemd.show("ActiveState", "keepalived") == "active"
    finally:
        systemd.ctl("stop", "both.target", "keepalived", f"{SERVICE}-health", check=False)
        systemd.run("sh", "-c", "cd /run && rm -r systemd/system/keepalived.service systemd/system/both.target protective-dns")


def test_a_stop_of_the_health_is_no_failure(systemd: RealSystemd) -> None:
    """The script says that the resolver is down, and the unit is not among those that failed."""
    unit = f"{SERVICE}-health"
    systemd.run("cp", f"{SOURCE}/deploy/keepalived/follow-health", "/usr/local/sbin/protective-dns-health")
    try:
        systemd.ctl("start", unit)
        systemd.wait_for(lambda: systemd.run("cat", "/run/protective-dns/keepalived", check=False) == "-254\n", "its first word")
        systemd.ctl("stop", unit)
        assert (systemd.show("ActiveState", unit), systemd.show("Result", unit)) == ("inactive", "success")
    finally:
        systemd.ctl("stop", unit, check=False)
        systemd.run("rm", "-r", "/run/protective-dns")


class Client:
    """Asks one new name after the other, with patience, and counts those without an answer."""

    def __init__(self, number: int) -> None:
        self.answered = self.lost = 0
        self.wrong: list[str] = []  # other answers than the address
        self._number, self._stop = number, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            name = f"n{self.answered + self.lost}.c{self._number}.example.net"
            try:
                response = ask(name, tcp=self._number == 0, timeout_s=60)
            except (dns.exception.Timeout, OSError, EOFError):
                self.lost += 1
                continue
            self.answered += 1
            if not response.answer:
                self.wrong.append(f"{name}: {dns.rcode.to_text(response.rcode())}")


def test_sockets_outlive_the_service(systemd: RealSystemd, config: str) -> None:
    """With protective-dns.socket and no privilege, a restart by systemd under load loses no query over UDP. If all processes are
    killed, at most those are lost that they had read: one for each client. Every other query gets its address.
    """
    systemd.configure(config.replace("drain_s = 1", "drain_s = 10"))
    systemd.drop_in(SOCKETS, unit=f"{SERVICE}.socket")
    example = Path(__file__).parents[2] / "deploy/systemd/protective-dns.service.d/sockets.conf.example"
    systemd.drop_in(example.read_text())
    systemd.ctl("start", f"{SERVICE}.socket")
    systemd.ctl("start", SERVICE)
    assert "CapEff:\t0000000000000000\n" in Path(f"/proc/{systemd.main_pid()}/status").read_text()
    with Client(0) as over_tcp, Client(1) as first, Client(2) as second, Client(3) as third:
        clients = (over_tcp, first, second, third)

        def each_asks(more: int) -> None:
            wanted = [client.answered + more for client in clients]
            systemd.wait_for(
                lambda: all(client.answered >= least for client, least in zip(clients, wanted, strict=True)), "answers"
            )

        each_asks(50)
        systemd.ctl("restart", SERVICE)
        assert ask("www.example.net").answer
        each_asks(50)
        assert [client.lost for client in (first, second, third)] == [0, 0, 0]
        os.kill(systemd.main_pid(), signal.SIGKILL)
        systemd.wait_for(lambda: systemd.show("NRestarts") == "1" and systemd.show("SubState") == "running", "a restart")
        each_asks(50)
    print(f"answered {[one.answered for one in clients]}, lost {[one.lost for one in clients]}")  # noqa: T201
    assert [client.wrong for client in clients] == [[], [], [], []]
    assert all(client.lost <= 1 for client in (first, second, third))
    assert over_tcp.lost <= 2  # a connection that was accepted and has sent no query yet ends with its process
