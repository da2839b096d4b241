"""Measuring encrypted transports, with short slices: the bare servers, and peers that are installed."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import msgspec
import pytest

from loadtest import encrypted, encrypted_goals, population, programs, server, tcprelay
from loadtest.encrypted import EncryptedField, EncryptedPlan
from loadtest.encrypted_generate import SERVER_NAME
from loadtest.encrypted_goals import BARE
from loadtest.encrypted_servers import EncryptedServer, all_started, config_of
from loadtest.loopback import Address
from loadtest.packets import query
from loadtest.peers import ALL, dnsdist, dnsproxy, unbound
from loadtest.peers.peer import EncryptedListen, Peer, Setup
from pdns.config import load
from pdns.demo import certificates
from tests.unit.loadtest.test_peers import needs

pytestmark = pytest.mark.usefixtures("compiled")
PLAN = EncryptedPlan(rounds=2, slice_s=0.05, beside_s=0.1)


@pytest.fixture
def field(tmp_path: Path) -> EncryptedField:
    people = population.generated(tmp_path, listed=10, benign=20)
    return EncryptedField(
        directory=tmp_path, upstream=Address("127.0.0.1", 1), people=people, server_core=None, generator_core=None, plan=PLAN
    )


@pytest.mark.parametrize("peer", [dnsdist.PEER, unbound.PEER], ids=lambda peer: peer.name)
def test_a_peer_is_measured_beside_the_bare_servers(peer: Peer, field: EncryptedField, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each path has a cost of the peer and of the bare server, without a doubt; the ratio is of the same rounds."""
    needs(peer)
    monkeypatch.setattr("loadtest.encrypted_servers.first_of_ours", lambda *_: None)
    with programs.serving("authority") as authority:
        field = msgspec.structs.replace(field, upstream=authority.address)
        found = encrypted.measure(field, [peer], "one", lambda _: None)
    assert found.notes == []
    for path in (encrypted_goals.DOT_ONE, encrypted_goals.DOH_ONE):
        bare, theirs = found.cost(path.key, BARE), found.cost(path.key, peer.name)
        assert bare is not None
        assert theirs is not None
        assert (bare.problem, theirs.problem) == ("", "")
        assert len(theirs.ratios) == PLAN.rounds
        assert bare.ratios == [1.0, 1.0]
        assert bare.answer_bytes == pytest.approx(theirs.answer_bytes, abs=3)  # a mean over names of different lengths


def test_idle_connections_take_memory(field: EncryptedField, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Held connections show in the memory of the bare servers, in a number that can be one connection's."""
    monkeypatch.setattr("loadtest.encrypted_servers.first_of_ours", lambda *_: None)
    monkeypatch.setattr(encrypted_goals, "IDLE_CONNECTIONS", 300)
    with programs.serving("authority") as authority:
        found = encrypted.measure(msgspec.structs.replace(field, upstream=authority.address), [], "idle", lambda _: None)
    assert [(idle.server, idle.transport) for idle in found.idle] == [(BARE, "tls"), (BARE, "https")]
    assert all(2_000 < idle.connection_bytes < 200_000 for idle in found.idle)
    assert found.costs == []


def test_a_peer_that_is_not_there_is_a_note(field: EncryptedField, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is named with the command that installs it, and the others are measured."""
    monkeypatch.setattr("loadtest.encrypted_servers.first_of_ours", lambda *_: None)
    missing = msgspec.structs.replace(dnsproxy.PEER, program="no-such-program")
    notes: list[str] = []
    with (
        programs.serving("authority") as authority,
        all_started(tmp_path / "run", authority.address, [missing], None, notes) as servers,
    ):
        assert [server.name for server in servers] == [BARE]
    assert len(notes) == 1
    assert "go install github.com/AdguardTeam/dnsproxy@v" in notes[0]


@pytest.mark.parametrize("peer", [peer for peer in ALL if peer.encrypted], ids=lambda peer: peer.name)
def test_a_peer_is_told_where_to_listen(peer: Peer, tmp_path: Path) -> None:
    """Its configuration or its arguments name each address of its transports, the certificate and the key."""
    listen = EncryptedListen(
        tls=Address("127.0.0.1", 5301), https=Address("127.0.0.1", 5302), quic=Address("127.0.0.1", 5303),
        certificate=tmp_path / "c.pem", key=tmp_path / "k.pem",
    )  # fmt: skip
    here = Address("127.0.0.1", 5300)
    setup = Setup(directory=tmp_path, listen=here, upstream=here, listed=None, encrypted=listen)
    arguments = peer.configure(setup)
    text = " ".join([*arguments, *(file.read_text() for file in tmp_path.iterdir())])
    for transport in peer.encrypted:
        assert str({"tls": 5301, "https": 5302, "quic": 5303}[transport]) in text
    assert str(listen.certificate) in text
    assert str(listen.key) in text


def test_ours_reads_what_is_written_for_it(tmp_path: Path) -> None:
    """The sections for our listeners and their limits are a valid configuration."""
    files = certificates.self_signed(tmp_path, SERVER_NAME)
    here = Address("127.0.0.1", 5300)
    more = config_of(files, {"tls": Address("127.0.0.1", 5301), "https": Address("127.0.0.1", 5302)})
    file = tmp_path / "pdns.toml"
    file.write_text(
        server.config_text(here, Address("127.0.0.1", 5304), Address("127.0.0.1", 5305), tmp_path / "state", None, more=more)
    )
    config = load.load(file)
    assert [listener.transport for listener in config.listener] == ["tls", "https"]
    assert config.encrypted.max_connections_per_client > encrypted_goals.IDLE_CONNECTIONS / 100


def test_the_relay_answers_over_tcp() -> None:
    """A query over TCP gets the answer of the UDP server at the same address."""
    wire = query(b"\x04name\x07example\0", query_id=7)
    with (
        programs.serving("authority") as authority,
        tcprelay.beside(authority.address),
        socket.create_connection(authority.address, timeout=10) as sock,
        sock.makefile("rb") as reader,
    ):
        sock.sendall((len(wire).to_bytes(2) + wire) * 2)
        for _ in range(2):
            answer = reader.read(int.from_bytes(reader.read(2)))
            assert answer[:2] == b"\0\7"
            assert answer[6:8] == b"\0\1"


def test_servers_count_the_cpu_time_of_all_their_processes() -> None:
    """DoQ has two: the one that speaks QUIC, and the worker."""
    one = EncryptedServer(name="x", version="", pids={"tls": (os.getpid(),), "quic": (os.getpid(), os.getpid())}, addresses={})
    assert one.cpu_s("quic") >= 2 * one.cpu_s("tls") * 0.9
    assert one.memory("quic") > one.memory("tls")
