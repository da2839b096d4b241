"""Two resolvers and a client on one Ethernet, each in a network namespace of its own, for tests of programs that move an address.

    with NodePair(tmp_path) as pair:
        pair.nodes[0].spawn("keepalived", ...)
        with pair.client(ADDRESS) as client:
            pair.nodes[0].kill()
        print(client.longest_gap_s)

Needs root and `ip`.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import dns.message
import dns.rrset

from tests.integration.running_pdns import ROOT, RunningPdns

ADDRESS: Final = "10.99.53.53"  # which the clients ask, outside of the Ethernet's network
CLIENT: Final = "10.99.0.9"
NODES: Final = ("10.99.0.2", "10.99.0.3")
UPSTREAMS: Final = ("10.99.0.12", "10.99.0.13")
_CLONE_NEWNET: Final = 0x40000000
_PATIENCE_S: Final = 60.0
_GIVE_UP_S: Final = 2.0
_PREFIX: Final = "pdns-pair-"  # of namespaces; the process of the test follows


def why_not(*programs: str) -> str:
    """Why no pair can run here with `programs`; "" if it can."""
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    missing = [program for program in ("ip", "setpriv", *programs) if shutil.which(program, path=path) is None]
    return f"not installed: {', '.join(missing)}" if missing else ""


def run(*command: str) -> str:
    """What `command` prints. Raises when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_PATIENCE_S)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


class Namespace:
    """A network namespace with loopback."""

    def __init__(self, name: str) -> None:
        self.name = name
        run("ip", "netns", "add", name)
        self.ip("link", "set", "lo", "up")

    def ip(self, *arguments: str) -> str:
        return run("ip", "-n", self.name, *arguments)

    def command(self, *command: str | Path) -> list[str]:
        """`command`, to run inside."""
        return ["ip", "netns", "exec", self.name, *map(str, command)]

    def enter(self) -> None:
        """Move the current thread inside: sockets that it opens from now on are there."""
        with open(f"/run/netns/{self.name}") as file:  # noqa: PTH123
            assert ctypes.CDLL(None, use_errno=True).setns(file.fileno(), _CLONE_NEWNET) == 0

    def pids(self) -> list[int]:
        """The processes inside."""
        return [int(pid) for pid in run("ip", "netns", "pids", self.name).split()]

    def close(self) -> None:
        run("ip", "netns", "delete", self.name)


def _remove_left() -> None:
    """End what tests have left that were killed."""
    for name in Path("/run/netns").glob(f"{_PREFIX}*"):
        if not Path("/proc", name.name.removeprefix(_PREFIX).partition("-")[0]).exists():
            for pid in run("ip", "netns", "pids", name.name).split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            run("ip", "netns", "delete", name.name)


class Upstream(threading.Thread):
    """Answers every A query on a UDP address inside `namespace`, unless it is `broken`."""

    def __init__(self, namespace: Namespace, address: str) -> None:
        super().__init__(daemon=True)
        self.broken = False
        self._namespace, self._address = namespace, address
        self._sock: socket.socket | None = None
        self.start()

    def run(self) -> None:
        self._namespace.enter()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as self._sock:
            self._sock.bind((self._address, 53))
            self._sock.settimeout(0.2)
            while self._namespace.name:
                try:
                    wire, client = self._sock.recvfrom(4096)
                except TimeoutError:
                    continue
                if not self.broken:
                    query = dns.message.from_wire(wire)
                    answer = dns.message.make_response(query)
                    answer.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", "192.0.2.7"))
                    self._sock.sendto(answer.to_wire(), client)


class Client(threading.Thread):
    """Asks a new name every 10 ms, whether or not the ones before were answered, until the block ends."""

    def __init__(self, namespace: Namespace, address: str) -> None:
        super().__init__(daemon=True)
        self.sent_s: dict[int, float] = {}
        self.answered: set[int] = set()
        self._namespace, self._address = namespace, address
        self._over = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over = True
        self.join()

    def run(self) -> None:
        self._namespace.enter()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            number, next_s, until_s = 0, time.monotonic(), float("inf")
            while (now_s := time.monotonic()) < until_s:
                if self._over and until_s == float("inf"):
                    until_s = now_s + _GIVE_UP_S
                if until_s == float("inf") and now_s >= next_s:
                    number, next_s = number + 1, next_s + 0.01
                    self.sent_s[number] = now_s
                    query = dns.message.make_query(f"q{number}.example.org", "A", id=number % 65536)
                    with suppress(OSError):  # no route at the moment
                        sock.sendto(query.to_wire(), (self._address, 53))
                self._receive(sock)

    def _receive(self, sock: socket.socket) -> None:
        sock.settimeout(0.003)
        with suppress(OSError):
            while True:
                wire = sock.recv(4096)
                if wire[3] & 15 == 0:
                    self.answered.add(int.from_bytes(wire[:2]))

    def is_answered(self) -> bool:
        """Whether one of the last queries was."""
        last = max(self.sent_s, default=0)
        return any(number in self.answered for number in range(max(1, last - 20), last + 1))

    @property
    def lost(self) -> list[int]:
        return sorted(self.sent_s.keys() - self.answered)

    @property
    def longest_gap_s(self) -> float:
        """The longest time in which no query was sent that was answered."""
        times = [self.sent_s[number] for number in sorted(self.answered & self.sent_s.keys())]
        return max((later - earlier for earlier, later in pairwise(times)), default=float("inf"))

    @property
    def moves(self) -> str:
        """The numbers, for people."""
        return f"{len(self.sent_s)} queries, {len(self.lost)} lost, longest gap {self.longest_gap_s:.2f} s"


class Node:
    """One machine with a resolver at ADDRESS."""

    def __init__(self, pair: NodePair, number: int, directory: Path, config: Mapping[str, object]) -> None:
        self.namespace = pair.plug(f"n{number}", NODES[number])
        self.address = NODES[number]
        self.directory = directory
        directory.mkdir()
        self.upstream = pair.upstreams[number]
        self.pdns = RunningPdns(
            directory,
            {
                "server": {"listen": ["0.0.0.0:53"], "workers": 1, "drain_s": 1.0},
                "upstream": {"servers": [f"udp://{UPSTREAMS[number]}:53"], "timeout_s": 0.5},
                "metrics": {"listen": "127.0.0.1:9153"},
                "access": {"networks": ["10.99.0.0/16", "127.0.0.0/8"]},
                "rate_limit": {"queries_per_s": 10000, "burst": 10000},
                **config,
            },
            ready=False,
            through=self.namespace.command(),
        )
        self._spawned: list[tuple[subprocess.Popen[bytes], IO[bytes]]] = []

    @property
    def maintenance(self) -> Path:
        return self.directory / "maintenance"

    def probe(self) -> list[str]:
        """Arguments for `pdns health`."""
        return ["--server", f"{self.address}:53", "--forwarded", "example.org", "--maintenance", str(self.maintenance),
                "--timeout", "0.5", "--interval", "0.5"]  # fmt: skip

    def spawn(self, *command: str | Path, **environment: str) -> subprocess.Popen[bytes]:
        """Run `command` inside until the end of the test."""
        log = (self.directory / "spawned.log").open("ab")
        pdns = str(Path(sys.executable).with_name("pdns"))
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *self.namespace.command(*command)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "PDNS": pdns, **environment},
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        self._spawned.append((process, log))
        return process

    @property
    def log(self) -> str:
        path = self.directory / "spawned.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def signal_all(self, sig: signal.Signals) -> None:
        """Send `sig` to every process of the resolver."""
        for pid in [self.pdns.pid, *self.pdns.children("")]:
            os.kill(pid, sig)

    def kill_spawned(self, text: str) -> None:
        """Kill the processes inside that have `text` in their command line."""
        for pid in self.namespace.pids():
            if text in Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode():
                os.kill(pid, signal.SIGKILL)

    def start_again(self) -> None:
        """Start the resolver after it was killed."""
        self.pdns.kill()
        self.pdns.start()

    def end(self) -> None:
        with suppress(ProcessLookupError, AssertionError, OSError):
            self.signal_all(signal.SIGCONT)
        self.pdns.kill()
        for process, _ in self._spawned:
            process.terminate()
        time.sleep(0.2)
        for pid in self.namespace.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process, log in self._spawned:
            process.wait()
            log.close()


class NodePair:
    """Both nodes, their upstreams, and the client's namespace."""

    def __init__(self, directory: Path, config: Mapping[str, object] | None = None) -> None:
        self._directory, self._config = directory, config or {}
        self._open = ExitStack()
        self._prefix = f"{_PREFIX}{os.getpid()}-"
        self.nodes: list[Node] = []
        self.upstreams: list[Upstream] = []

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None) -> None:
        if kind is not None:
            for node in self.nodes:
                print(f"--- {node.address}\n{node.log}\n{node.pdns.log}")  # noqa: T201 (pytest shows it when the test fails)
        self._open.close()

    def _namespace(self, suffix: str) -> Namespace:
        namespace = Namespace(f"{self._prefix}{suffix}")
        self._open.callback(namespace.close)
        return namespace

    def _start(self) -> None:
        _remove_left()
        self.lan = self._namespace("lan")
        self.lan.ip("link", "add", "br0", "type", "bridge")
        self.lan.ip("link", "set", "br0", "up")
        self.lan.ip("address", "add", f"{CLIENT}/24", "dev", "br0")
        for address in UPSTREAMS:
            self.lan.ip("address", "add", f"{address}/24", "dev", "br0")
        self.upstreams = [Upstream(self.lan, address) for address in UPSTREAMS]
        for number in range(2):
            node = Node(self, number, self._directory / f"node{number}", self._config)
            self.nodes.append(node)
            self._open.callback(node.end)
            node.pdns.start()

    def spawn(self, *command: str | Path) -> None:
        """Run `command` in the client's namespace until the end of the test."""
        log = self._open.enter_context((self._directory / "lan.log").open("ab"))
        process = subprocess.Popen(self.lan.command(*command), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._open.callback(process.wait)
        self._open.callback(process.kill)

    def plug(self, suffix: str, address: str) -> Namespace:
        """A namespace with one interface, `eth0`, in the Ethernet."""
        namespace = self._namespace(suffix)
        port = f"p{suffix}"
        self.lan.ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", namespace.name)
        self.lan.ip("link", "set", port, "master", "br0")
        self.lan.ip("link", "set", port, "up")
        namespace.ip("address", "add", f"{address}/24", "dev", "eth0")
        namespace.ip("link", "set", "eth0", "up")
        return namespace

    def client(self, address: str = ADDRESS) -> Client:
        """Use it as a context manager."""
        return Client(self.lan, address)

    @staticmethod
    def wait_for(condition: Callable[[], object], what: str, within_s: float = _PATIENCE_S) -> None:
        """Return when `condition()` holds."""
        until_s = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < until_s, f"not within {within_s} s: {what}"
            time.sleep(0.05)


FAULTS: Final[dict[str, tuple[Callable[[Node], object], Callable[[Node], object]]]] = {  # what happens to a node, and its end
    "stopped": (lambda node: node.pdns.stop(), lambda node: node.pdns.start()),
    "killed": (lambda node: node.signal_all(signal.SIGKILL), lambda node: node.start_again()),
    "hanging": (lambda node: node.signal_all(signal.SIGSTOP), lambda node: node.signal_all(signal.SIGCONT)),
    "without upstream": (
        lambda node: setattr(node.upstream, "broken", True),
        lambda node: setattr(node.upstream, "broken", False),
    ),
    "in maintenance": (lambda node: node.maintenance.touch(), lambda node: node.maintenance.unlink()),
}
