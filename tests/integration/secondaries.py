"""Real secondaries of a published zone, configured as docs/publishing.md says, and a primary within the test."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import dns.query
import dns.rdatatype
import dns.tsig
import dns.tsigkeyring
import dns.zone

from feeds.fetch.tsig import tsig_key
from feeds.jobs import Published, PublishJob
from feeds.publish import make
from feeds.publish.notifier import Notifier
from feeds.publish.server import ServedZone, TransferServer
from feeds.publish.versions import ZoneVersions
from loadtest.loopback import free_port
from pdns.config.addresses import parse_network
from pdns.config.schema import Publish
from pdns.wire.names import from_text
from tests.integration.realservers import UNBOUND_SERVER, RealServer

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/publishing.md").read_text()
ORIGIN = "rpz.pdns.example"
KEY_NAME = "pdns-rpz"
SECRET = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0MTI="
Records = set[tuple[str, str, str]]


def snippets(heading: str, language: str = "text") -> list[str]:
    """The examples below a heading of the page."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    return re.findall(rf"^```{language}\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)


class NamedSecondary(RealServer):
    """A `named` that follows the zone and blocks by it."""

    def __init__(self, directory: Path, primary_port: int, forward_to: int, *, secret: str = SECRET) -> None:
        """`secret`: of the key; "" for none."""
        super().__init__("named", directory, "127.in-addr.arpa")
        self._primary_port, self._forward_to, self._secret = primary_port, forward_to, secret

    def _command(self) -> list[str]:
        options, zone = snippets("BIND")
        zone = zone.replace("192.0.2.10 port 5303", f"127.0.0.1 port {self._primary_port}").replace("SECRET", self._secret)
        if not self._secret:
            zone = re.sub(r"^key .*\n", "", zone).replace(f' key "{KEY_NAME}"', "")
        text = f"""\
options {{
    directory "{self._directory}"; pid-file none; session-keyfile none;
    listen-on port {self.port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
    recursion yes; dnssec-validation no; forward only; forwarders {{ 127.0.0.1 port {self._forward_to}; }};
    min-refresh-time 1; min-retry-time 1; serial-query-rate 1000;
    {options}
}};
controls {{ }};
{zone}"""
        (self._directory / "named.conf").write_text(text)
        return ["-g", "-n", "1", "-c", str(self._directory / "named.conf")]

    @property
    def records(self) -> Records:
        """What it has of the zone, by a transfer."""
        return transferred(self.port)

    @property
    def serial(self) -> int:
        return serial_of(self.port)


class UnboundSecondary(RealServer):
    """An `unbound` that follows the zone and blocks by it."""

    def __init__(self, directory: Path, primary_port: int, forward_to: int) -> None:
        super().__init__("unbound", directory, "localhost")
        self._primary_port, self._forward_to = primary_port, forward_to

    def _command(self) -> list[str]:
        (text,) = snippets("Unbound")
        text = text.replace("192.0.2.10@5303", f"127.0.0.1@{self._primary_port}").replace("192.0.2.10", "127.0.0.1")
        head, _, rest = text.partition("server:\n")
        head = UNBOUND_SERVER.format(directory=self._directory) + f"    interface: 127.0.0.1@{self.port}\n"
        tail = f'forward-zone:\n    name: "."\n    forward-addr: 127.0.0.1@{self._forward_to}\n'
        tail += "remote-control:\n    control-enable: no\n"
        (self._directory / "unbound.conf").write_text(head + rest + tail)
        return ["-d", "-c", str(self._directory / "unbound.conf")]

    @property
    def _zone(self) -> dns.zone.Zone | None:
        path = self._directory / f"{ORIGIN}.zone"
        return dns.zone.from_text(path.read_text(), ORIGIN, relativize=False, check_origin=False) if path.exists() else None

    @property
    def records(self) -> Records:
        """What it has of the zone, by the file that it keeps."""
        zone = self._zone
        return records_of(zone) if zone is not None else set()

    @property
    def serial(self) -> int:
        zone = self._zone
        return zone.get_soa().serial if zone is not None else 0


def transferred(port: int, *, secret: str = "", origin: str = ORIGIN) -> Records:
    """The records of the zone by a whole transfer, but for the SOA."""
    keyring = dns.tsigkeyring.from_text({KEY_NAME: ("hmac-sha256", secret)}) if secret else None
    messages = dns.query.xfr("127.0.0.1", origin, port=port, relativize=False, keyring=keyring, lifetime=60)
    return records_of(dns.zone.from_xfr(messages, relativize=False))


def records_of(zone: dns.zone.Zone) -> Records:
    return {
        (str(name).lower(), dns.rdatatype.to_text(data.rdtype), str(data))
        for name, _, data in zone.iterate_rdatas()
        if data.rdtype != dns.rdatatype.SOA
    }


def serial_of(port: int, origin: str = ORIGIN, timeout_s: float = 30.0) -> int:
    """The serial that the server at `port` has; 0 if it has no zone."""
    query = dns.message.make_query(origin, "SOA")
    answer = dns.query.udp(query, "127.0.0.1", port=port, timeout=timeout_s)
    return int(answer.answer[0][0].serial) if answer.answer else 0


class Primary:
    """The zone and its server, in a thread; versions are made in this process."""

    def __init__(self, directory: Path, *, secret: str = "", notify: tuple[int, ...] = (), **keys: Any) -> None:
        self.port = free_port()
        self.directory = directory
        directory.mkdir(exist_ok=True)
        names: dict[str, Any] = {"tsig_name": KEY_NAME, "tsig_secret_file": "x"} if secret else {}
        keys = {"refresh_s": 3600, **keys}
        self.settings = Publish(zone=ORIGIN, allow_transfer=("127.0.0.0/8",), **names, **keys)
        self.secondaries = tuple(f"127.0.0.1:{port}" for port in notify)
        self.key = tsig_key(KEY_NAME, "hmac-sha256", secret) if secret else None
        self.versions = ZoneVersions(directory, ORIGIN)
        self.server = TransferServer()
        self.notified: Counter[tuple[str, str]] = Counter()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._notifier = Notifier(self._loop.create_task, self.notified)

    def __enter__(self) -> Self:
        self._thread.start()
        self.versions.resume()
        networks = tuple(map(parse_network, self.settings.allow_transfer))
        served = ServedZone(self.settings, from_text(ORIGIN), self.versions, networks, self.key)
        self._run(self.server.configure([served], [f"127.0.0.1:{self.port}"]))
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        self.server.close()
        self._notifier.close()
        await asyncio.sleep(0.05)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    def publish(self, blocked: set[str], *, notify: bool = True, allowed: set[str] = frozenset()) -> Published:  # type: ignore[assignment]
        """Make the version whose names are these, and serve it."""
        serial = self.versions.next_serial(time.time())
        job = PublishJob(
            directory=str(self.versions.directory), zone=ORIGIN, serial=serial, settings="", blockset="", feeds=[],
            layers=[[*((from_text(name), False, 1) for name in allowed), *((from_text(name), False, 2) for name in blocked)]],
            addresses=False, action="nxdomain", sinkhole=[], ttl_s=60, refresh_s=self.settings.refresh_s, expire_s=604800,
            before=str(self.versions.path) if self.versions.live is not None else "",
        )  # fmt: skip
        made = make.publish(job)
        assert isinstance(made, Published)
        if made.changed:
            self.versions.adopt(made, serial, "")
            if notify:
                self._loop.call_soon_threadsafe(self._notifier.tell, ORIGIN, self.secondaries, self.key, "127.0.0.1")
        self.versions.clean()
        return made

    @property
    def serial(self) -> int:
        assert self.versions.live is not None
        return self.versions.live.serial

    def count(self, kind: str, result: str) -> int:
        """Answers so far."""
        return self.server.counts[ORIGIN, kind, result]

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)
