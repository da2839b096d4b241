"""Real DNS servers of others on loopback: plain processes, no root, and all they write is in a directory of the test's.

    with Nsd(tmp_path, {"real.example": ZONE}) as nsd:
        assert ask(nsd.port, "www.real.example").answer

Where a program is not installed the test is skipped.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.update
import pytest

from loadtest.loopback import free_port

_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"  # where Debian keeps servers, and a normal user's PATH does not look
_ANSWERS_WITHIN_S = 60.0
_STARTS = 5

_NSD_CONF = """\
server:
    ip-address: 127.0.0.1@{port}
    do-ip6: no
    username: ""
    chroot: ""
    database: ""
    pidfile: ""
    zonesdir: "{directory}"
    zonelistfile: "{directory}/zone.list"
    xfrdfile: "{directory}/xfrd.state"
    xfrdir: "{directory}"
    rrl-ratelimit: 0
remote-control:
    control-enable: no
"""
_NAMED_CONF = """\
options {{
    directory "{directory}";
    pid-file none;
    session-keyfile none;
    listen-on port {port} {{ 127.0.0.1; }};
    listen-on-v6 {{ none; }};
    recursion no;
    dnssec-validation no;
    minimal-responses no;
    notify-delay 0;
    startup-notify-rate 1000;
    notify-rate 1000;
    serial-query-rate 1000;
}};
controls {{ }};
{more}
"""
UNBOUND_SERVER = """\
server:
    do-ip6: no
    username: ""
    chroot: ""
    directory: "{directory}"
    pidfile: ""
    use-syslog: no
    do-not-query-localhost: no
"""
_UNBOUND_CONF = (
    UNBOUND_SERVER
    + """\
    interface: 127.0.0.1@{port}
    module-config: "validator iterator"
    val-permissive-mode: no
    ede: yes
{more}
remote-control:
    control-enable: no
forward-zone:
    name: "."
    forward-addr: 127.0.0.1@{forward_to}
"""
)


def program(name: str) -> str:
    """Where the program `name` is. Skips the test when it is not installed."""
    path = shutil.which(name, path=_PATH)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def ask(
    port: int, name: str, qtype: str = "A", *, tcp: bool = False, do: bool = False, flags: int = 0, timeout_s: float = 30.0
) -> dns.message.Message:
    """What 127.0.0.1 answers on `port`: asked with RD, `flags` and EDNS, one RRset for each record."""
    query = dns.message.make_query(name, qtype, use_edns=0, want_dnssec=do, payload=1232, flags=dns.flags.RD | flags)
    send = dns.query.tcp if tcp else dns.query.udp
    return send(query, "127.0.0.1", timeout=timeout_s, port=port, one_rr_per_rrset=True)


class RealServer(ABC):
    """One process, and those that it starts. It keeps its port when it is started again."""

    def __init__(self, name: str, directory: Path, *asked_to_try: str) -> None:
        """`asked_to_try`: names that have an SOA, or at least an answer, once it is ready."""
        self._program = program(name)
        self._directory = directory
        self._asked_to_try = asked_to_try
        self._log = directory / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        directory.mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def _command(self) -> list[str]:
        """The arguments after the program's name that keep it in the foreground; writes the configuration they speak of."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Return when it answers. It is tried again: a resolver may have a query under way from its port, whatever that is."""
        fresh = not self.port
        for _ in range(_STARTS):
            if fresh:
                self.port = free_port()
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    [self._program, *self._command()],
                    cwd=self._directory,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            if self._answers():
                return
            self.kill()
        raise AssertionError(f"{self._program} does not answer: {self._log.read_text()[-3000:]}")

    def stop(self) -> None:
        """End it as its administrator would."""
        if self._process is None:
            return
        self.signal(signal.SIGCONT)
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        self.kill()

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self.signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def signal(self, sig: signal.Signals) -> None:
        """Send `sig` to it and to those it started: they would go on answering without it."""
        assert self._process is not None
        if self._process.poll() is None:  # else its number may be somebody else's by now
            os.killpg(self._process.pid, sig)

    def _answers(self) -> bool:
        assert self._process is not None
        until_s = time.monotonic() + _ANSWERS_WITHIN_S
        for name in self._asked_to_try:
            for tcp in (False, True):
                while not _gets_answer(self.port, name, tcp=tcp):
                    if self._process.poll() is not None or time.monotonic() > until_s:
                        return False
                    time.sleep(0.02)
        return self._process.poll() is None


class Nsd(RealServer):
    """An authoritative `nsd` for `zones`: their text, by origin."""

    def __init__(self, directory: Path, zones: Mapping[str, str], more: str = "") -> None:
        """`more`: what is said of each zone beside its name and file, and what stands after them."""
        super().__init__("nsd", directory, *zones)
        self.zones = dict(zones)
        self._more = more

    def _command(self) -> list[str]:
        text = _NSD_CONF.format(directory=self._directory, port=self.port)
        for origin, zone in self.zones.items():
            (self._directory / f"{origin}.zone").write_text(zone)
            text += f'zone:\n    name: "{origin}"\n    zonefile: "{origin}.zone"\n{self._more}'
        (self._directory / "nsd.conf").write_text(text)
        return ["-d", "-c", str(self._directory / "nsd.conf")]


class Named(RealServer):
    """An authoritative `named` for one zone, which takes dynamic updates from this machine and keeps every change for IXFR."""

    def __init__(self, directory: Path, origin: str, zone: str, *, tsig: str = "", notify_port: int = 0) -> None:
        """`tsig`: the secret, in base64, of the key `transfer-key`, without which nothing is transferred then."""
        super().__init__("named", directory, origin)
        self.origin, self.zone = origin, zone
        self._tsig, self._notify_port = tsig, notify_port

    def update(self, *, add: Iterable[str] = (), delete: Iterable[str] = ()) -> None:
        """One change, one step of the serial: records as text, with relative owner names."""
        change = dns.update.UpdateMessage(self.origin)
        for record in delete:
            owner, _, rtype, rdata = record.split(None, 3)
            change.delete(owner, rtype, rdata)
        for record in add:
            owner, ttl, rtype, rdata = record.split(None, 3)
            change.add(owner, int(ttl), rtype, rdata)
        answer = dns.query.tcp(change, "127.0.0.1", timeout=60, port=self.port)
        assert answer.rcode() == dns.rcode.NOERROR, answer

    def _command(self) -> list[str]:
        file = self._directory / "zone"
        if not file.exists():
            file.write_text(self.zone)
        allowed = "key transfer-key;" if self._tsig else "127.0.0.1;"
        signed = " key transfer-key" if self._tsig else ""
        told = f"127.0.0.1 port {self._notify_port}{signed};"
        notify = f"notify explicit; also-notify {{ {told} }};" if self._notify_port else "notify no;"
        more = (f'key transfer-key {{ algorithm hmac-sha256; secret "{self._tsig}"; }};\n' if self._tsig else "") + (
            f'zone "{self.origin}" {{ type primary; file "zone"; allow-update {{ 127.0.0.1; }}; allow-transfer {{ {allowed} }}; '
            f"max-ixfr-ratio unlimited; {notify} }};\n"
        )
        (self._directory / "named.conf").write_text(_NAMED_CONF.format(directory=self._directory, port=self.port, more=more))
        return ["-g", "-n", "1", "-c", str(self._directory / "named.conf")]


class Unbound(RealServer):
    """A validating `unbound` that trusts `anchors` (DS or DNSKEY records) and asks only the port `forward_to`."""

    def __init__(
        self,
        directory: Path,
        forward_to: int,
        anchors: Iterable[str],
        *,
        asks_for: Iterable[str] = (),
        insecure: Iterable[str] = (),
    ) -> None:
        """`asks_for`: names that it would otherwise answer itself. `insecure`: negative trust anchors (RFC 7646)."""
        super().__init__("unbound", directory, "localhost" if "localhost." not in asks_for else ".")
        self._asks_for = "\n".join(
            [f'    local-zone: "{name}" nodefault' for name in asks_for] + [f'    domain-insecure: "{name}"' for name in insecure]
        )
        self._forward_to = forward_to
        self._anchors = "\n".join(f'    trust-anchor: "{anchor}"' for anchor in anchors)

    def _command(self) -> list[str]:
        more = f"{self._anchors}\n{self._asks_for}"
        text = _UNBOUND_CONF.format(directory=self._directory, port=self.port, forward_to=self._forward_to, more=more)
        (self._directory / "unbound.conf").write_text(text)
        return ["-d", "-c", str(self._directory / "unbound.conf")]


class Dnsmasq(RealServer):
    """A caching `dnsmasq` that asks only the port `forward_to`."""

    def __init__(self, directory: Path, forward_to: int) -> None:
        super().__init__("dnsmasq", directory, "localhost")
        self._forward_to = forward_to

    def _command(self) -> list[str]:
        return [
            "--keep-in-foreground", "--conf-file=/dev/null", f"--port={self.port}", "--listen-address=127.0.0.1",
            "--bind-interfaces", "--no-resolv", "--no-hosts",
            f"--server=127.0.0.1#{self._forward_to}", f"--pid-file={self._directory / 'pid'}",
            f"--user={getpass.getuser()}",
        ]  # fmt: skip


class NamedForwarder(RealServer):
    """A caching `named` that asks only the port `forward_to`, and validates nothing."""

    def __init__(self, directory: Path, forward_to: int) -> None:
        super().__init__("named", directory, "127.in-addr.arpa")  # one of its own empty zones
        self._forward_to = forward_to

    def _command(self) -> list[str]:
        text = _NAMED_CONF.format(directory=self._directory, port=self.port, more="").replace(
            "recursion no;", f"recursion yes; forward only; forwarders {{ 127.0.0.1 port {self._forward_to}; }};"
        )
        (self._directory / "named.conf").write_text(text)
        return ["-g", "-n", "1", "-c", str(self._directory / "named.conf")]


def _gets_answer(port: int, name: str, *, tcp: bool) -> bool:
    try:
        return ask(port, name, "SOA", tcp=tcp, timeout_s=0.5).rcode() == dns.rcode.NOERROR
    except (dns.exception.DNSException, OSError, EOFError):
        return False
