"""The servers whose encrypted transports are measured: bare ones in C, ours, and peers. All run at once, on one core."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from loadtest import build, packets, process, server, tcprelay
from loadtest.encrypted_generate import SERVER_NAME, command, generate
from loadtest.encrypted_goals import BARE, DOH_ONE, DOT_ONE, HTTPS, OURS, QUIC, TLS
from loadtest.loopback import Address, free_port
from loadtest.peers.peer import EncryptedListen, Peer
from loadtest.peers.start import PeerError, started
from loadtest.programs import GeneratorError
from pdns.demo import certificates

_BACKLOG = 4096
_MOST_SAID = 400  # characters of an error
_BLOCK_BYTES = 468  # RFC 8467
_START_TIMEOUT_S = 30.0
_YARDSTICKS = {TLS: "tls_echo", HTTPS: "h2_echo"}
# No limit of ours may be what is measured: 2,000 connections and as many new ones a second come from a few addresses.
_LIMITS = """[encrypted]
max_connections = 10000
max_connections_per_client = 5000
new_connections_per_client_per_s = 100000
max_handshakes = 1000
idle_timeout_s = 120
"""


class EncryptedServer(msgspec.Struct, frozen=True, kw_only=True):
    """One server that runs. The CPU time and the memory of all its processes that answer are counted together."""

    name: str
    version: str
    pids: Mapping[str, tuple[int, ...]]  # by transport
    addresses: dict[str, Address]  # by transport
    udp: Address | None = None

    def cpu_s(self, transport: str) -> float:
        """CPU seconds that the processes of `transport` have used. Raises `OSError` when one is gone."""
        return sum(process.cpu_s(pid) for pid in self.pids[transport])

    def memory(self, transport: str) -> int:
        """PSS of the processes of `transport` in bytes. Raises `OSError` when one is gone."""
        return sum(process.memory(pid).pss for pid in self.pids[transport])


@contextlib.contextmanager
def all_started(
    directory: Path, upstream: Address, peers: Sequence[Peer], core: int | None, notes: list[str]
) -> Iterator[list[EncryptedServer]]:
    """The yardsticks, ours and each of `peers` that starts; `notes` gets a line for each that does not. Without `core` they are
    left to the kernel.
    """
    directory.mkdir(parents=True)
    files = certificates.self_signed(directory, SERVER_NAME)
    with contextlib.ExitStack() as stack:
        stack.enter_context(tcprelay.beside(upstream))
        our_own = first_of_ours(stack, directory, upstream, files, notes)
        block_bytes = _padded_to(our_own, directory, notes) if our_own is not None else 0
        found = [stack.enter_context(bare(files, block_bytes))]
        found += [our_own] if our_own is not None else []
        for peer in peers:
            if peer.path() is None:
                notes.append(f"{peer.name}: not installed: {peer.install}")
                continue
            try:
                found.append(stack.enter_context(_peer(peer, directory / peer.name, upstream, files)))
            except (PeerError, OSError) as error:
                notes.append(f"{peer.name}: {error}")
        if core is not None:
            for each in found:
                for pid in {pid for pids in each.pids.values() for pid in pids}:
                    process.pin(pid, core)
        yield found


def _padded_to(our_own: EncryptedServer, directory: Path, notes: list[str]) -> int:
    """The block to which our answers are padded, 0 when they are not: the yardstick answers in the same size."""
    packets.write(directory / "one", [packets.query(b"\x04name\x07example\0")])
    path = DOT_ONE if TLS in our_own.addresses else DOH_ONE
    words = command(our_own.addresses[path.transport], directory / "one", path, seconds=5, count=1)
    try:
        size = round(generate(words, None).answer_bytes)
    except GeneratorError as error:
        notes.append(f"{OURS}: {error}")
        return 0
    return size if size % _BLOCK_BYTES == 0 else 0


@contextlib.contextmanager
def bare(files: certificates.CertificateFiles, block_bytes: int) -> Iterator[EncryptedServer]:
    children: dict[str, subprocess.Popen[bytes]] = {}
    addresses: dict[str, Address] = {}
    try:
        for transport, program in _YARDSTICKS.items():
            with socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG) as listener:
                addresses[transport] = Address(*listener.getsockname())
                command = [str(build.program(program)), str(listener.fileno()), *map(str, files), str(block_bytes)]
                children[transport] = subprocess.Popen(command, pass_fds=[listener.fileno()])
        pids = {transport: (child.pid,) for transport, child in children.items()}
        yield EncryptedServer(name=BARE, version="", pids=pids, addresses=addresses)
    finally:
        for child in children.values():
            child.kill()
            child.wait()


def first_of_ours(
    stack: contextlib.ExitStack, directory: Path, upstream: Address, files: certificates.CertificateFiles, notes: list[str]
) -> EncryptedServer | None:
    """Ours with as many of its transports as start: QUIC is an extra."""
    for number, transports in enumerate(((TLS, HTTPS, QUIC), (TLS, HTTPS), (TLS,), (HTTPS,))):
        try:
            return stack.enter_context(ours(directory / f"ours-{number}", upstream, files, transports))
        except server.ServerError as raised:
            said = " ".join(str(raised).split())
            notes.append(f"{OURS} does not start with {', '.join(transports)}: {said[:_MOST_SAID]}")
    return None


def config_of(files: certificates.CertificateFiles, addresses: dict[str, Address]) -> str:
    """The sections of our configuration that listen on `addresses`, by transport."""
    lines = []
    for transport, address in addresses.items():
        lines += ["[[listener]]", f"transport = {json.dumps(transport)}", f"listen = [{json.dumps(str(address))}]"]
        lines += [f"cert_file = {json.dumps(str(files.certificate))}", f"key_file = {json.dumps(str(files.key))}"]
    return "\n".join(lines) + "\n" + _LIMITS


@contextlib.contextmanager
def ours(
    directory: Path, upstream: Address, files: certificates.CertificateFiles, transports: Sequence[str], workers: int = 1
) -> Iterator[EncryptedServer]:
    """`pdns serve` with these transports. Raises `ServerError` when it does not become ready."""
    addresses = {transport: Address("127.0.0.1", free_port()) for transport in transports}
    with server.started(directory, upstream, None, workers=workers, more=config_of(files, addresses)) as resolver:
        resolver.wait_ready(_START_TIMEOUT_S)
        children = process.children(resolver.process.pid)
        answering = tuple(resolver.workers())
        quic = tuple(pid for pid, command in children.items() if "pdns.quic" in command)
        pids = {transport: answering + (quic if transport == QUIC else ()) for transport in transports}
        yield EncryptedServer(name=OURS, version="", pids=pids, addresses=addresses, udp=resolver.address)


@contextlib.contextmanager
def _peer(peer: Peer, directory: Path, upstream: Address, files: certificates.CertificateFiles) -> Iterator[EncryptedServer]:
    listen = EncryptedListen(
        tls=Address("127.0.0.1", free_port()), https=Address("127.0.0.1", free_port()), quic=Address("127.0.0.1", free_port()),
        certificate=files.certificate, key=files.key,
    )  # fmt: skip
    with started(peer, directory, upstream, None, encrypted=listen) as child:
        child.wait_forwarded(b"\x04name\x07example\0", _START_TIMEOUT_S)
        known = {TLS: listen.tls, HTTPS: listen.https, QUIC: listen.quic}
        addresses = {transport: known[transport] for transport in peer.encrypted}
        pids = dict.fromkeys(addresses, (child.process.pid,))
        yield EncryptedServer(name=peer.name, version=peer.version(), pids=pids, addresses=addresses, udp=child.address)


def allow_descriptors(wanted: int) -> bool:
    """Raises the limit on open files of this process and its children to `wanted`. False: it may not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted) if os.geteuid() == 0 else hard))
        except (OSError, ValueError):
            return False
    return True
