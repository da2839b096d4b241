"""What encrypted listeners get: sealed memory with certificates, keys and ticket keys."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pdns.clock import boottime_s
from pdns.config.schema import Config
from pdns.config.watch import load_version
from pdns.errors import ConfigErrors, PdnsError
from pdns.ipc.encryption_secrets import EncryptionSecrets, decode
from pdns.ipc.messages import TakeSecrets
from pdns.supervisor.certificates import Certificates
from tests.certificates import issue, revocations, write_pair

OLD, NEW, ROOT = issue(), issue(), issue(authority=True)
PAIR = 'cert_file = "fullchain.pem"\nkey_file = "privkey.pem"\n'
TLS = f'[[listener]]\ntransport = "tls"\nlisten = ["127.0.0.1:0"]\n{PAIR}'
QUIC = f'[[listener]]\ntransport = "quic"\nlisten = ["127.0.0.1:0"]\n{PAIR}'


class Receiver:
    """Keeps what it was sent."""

    def __init__(self) -> None:
        self.got: list[tuple[TakeSecrets, EncryptionSecrets]] = []

    def send(self, message: TakeSecrets, fds: Sequence[int] = (), /) -> bool:
        (fd,) = fds
        self.got.append((message, decode(os.pread(fd, os.fstat(fd).st_size, 0))))
        return True


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def certificates(receiver: Receiver, tmp_path: Path) -> Iterator[Certificates]:
    write_pair(tmp_path, OLD)
    certificates = Certificates(lambda: [receiver])
    yield certificates
    certificates.close()


def loaded(directory: Path, text: str, held: frozenset[tuple[str, ...]] = frozenset()) -> Config:
    (directory / "pdns.toml").write_text(f'[upstream]\nservers = ["192.0.2.53"]\n{text}')
    return load_version(directory / "pdns.toml", certificates_in_force=held).config


def look(certificates: Certificates, now_s: float) -> None:
    asyncio.run(certificates.look(now_s))


def adopt(certificates: Certificates, config: Config) -> EncryptionSecrets:
    """Make it live, and return what a worker gets before its configuration."""
    made = certificates.read(config)
    certificates.adopt(made, config)
    assert made is not None
    receiver = Receiver()
    made.send_to(receiver, with_next=True)
    ((message, secrets),) = receiver.got
    assert message == TakeSecrets(secrets.generation, with_next=True)
    return secrets


def test_nothing_without_listeners(certificates: Certificates, tmp_path: Path) -> None:
    """A server without encrypted listeners sends nothing and watches nothing."""
    config = loaded(tmp_path, "")
    assert certificates.read(config) is None
    certificates.adopt(None, config)
    look(certificates, boottime_s() + 1e6)
    assert (certificates.in_force, certificates.remarks, certificates.held) == ([], [], frozenset())


def test_secrets(certificates: Certificates, tmp_path: Path) -> None:
    """Every listener has its certificates in order, by its index; authority and revocation list travel too."""
    write_pair(tmp_path, NEW, name="b-")
    (tmp_path / "ca.pem").write_bytes(ROOT.cert_pem)
    (tmp_path / "crl.pem").write_bytes(revocations(ROOT))
    more = 'client_certificate = "required"\nclient_ca_file = "ca.pem"\nclient_crl_file = "crl.pem"\n'
    second = '[[listener.certificate]]\ncert_file = "b-fullchain.pem"\nkey_file = "b-privkey.pem"\n'
    secrets = adopt(certificates, loaded(tmp_path, f"{QUIC}{TLS}{more}{second}"))
    assert sorted(secrets.listeners) == [0, 1]
    assert [one.key_pem for one in secrets.listeners[1].certificates] == [OLD.key_pem, NEW.key_pem]
    assert secrets.listeners[0].certificates[0].chain_pem == OLD.cert_pem
    assert secrets.listeners[0].client_ca_pem == b""
    assert secrets.listeners[1].client_ca_pem == ROOT.cert_pem
    assert secrets.listeners[1].client_crl_pem == (tmp_path / "crl.pem").read_bytes()
    assert len(secrets.ticket_keys) == 1
    in_force = certificates.in_force
    assert [(one.section, one.listener, one.name) for one in in_force] == [
        (0, "quic://127.0.0.1:0", "dns.example"),
        (1, "tls://127.0.0.1:0", "dns.example"),
        (1, "tls://127.0.0.1:0", "dns.example"),
    ]
    assert in_force[2].details.sha256 == NEW.sha256


def test_no_key_is_printed(certificates: Certificates, tmp_path: Path) -> None:
    """The text of secrets, in a log or a traceback, has no key in it."""
    secrets = adopt(certificates, loaded(tmp_path, TLS))
    text = f"{secrets!r} {secrets.listeners!r}"
    assert "PRIVATE" not in text
    assert str(secrets.ticket_keys[0]) not in text


def test_a_renewal_is_sent(certificates: Certificates, receiver: Receiver, tmp_path: Path) -> None:
    """New files, at once for the listeners that are live, with the same ticket keys."""
    first = adopt(certificates, loaded(tmp_path, TLS))
    write_pair(tmp_path, NEW)
    for _ in range(3):
        look(certificates, boottime_s())
    ((message, secrets),) = receiver.got
    assert message == TakeSecrets(secrets.generation)
    assert secrets.generation > first.generation
    assert secrets.listeners[0].certificates[0].chain_pem == NEW.cert_pem
    assert secrets.ticket_keys == first.ticket_keys


def test_ticket_keys_rotate(certificates: Certificates, receiver: Receiver, tmp_path: Path) -> None:
    """After their lifetime; the earlier ones still decrypt."""
    first = adopt(certificates, loaded(tmp_path, f"{TLS}[encrypted]\nticket_key_lifetime_s = 60\n"))
    now_s = boottime_s()
    look(certificates, now_s + 30)
    assert receiver.got == []
    look(certificates, now_s + 61)
    ((_, secrets),) = receiver.got
    assert secrets.ticket_keys[1:] == first.ticket_keys
    assert secrets.listeners == first.listeners


def test_a_broken_renewal_does_not_stop_other_changes(certificates: Certificates, tmp_path: Path) -> None:
    """The files are broken: what is in force stays, and another change of the configuration goes live with it."""
    adopt(certificates, loaded(tmp_path, TLS))
    (tmp_path / "privkey.pem").write_text("broken")
    now_s = boottime_s()
    for step in range(15):
        look(certificates, now_s + step)
    assert certificates.failures == 1
    assert [line.split(": ")[0] for line in certificates.remarks] == ["listener[0].key_file"]
    assert certificates.in_force[0].problem == certificates.remarks[0]
    with pytest.raises(ConfigErrors, match=r"listener\[0\].key_file"):
        loaded(tmp_path, QUIC + TLS)
    secrets = adopt(certificates, loaded(tmp_path, QUIC + TLS, certificates.held))
    assert secrets.listeners[1].certificates[0].key_pem == OLD.key_pem


def test_files_that_vanish_before_they_are_read(certificates: Certificates, tmp_path: Path) -> None:
    """The error names the key; what was live stays."""
    config = loaded(tmp_path, TLS)
    (tmp_path / "privkey.pem").unlink()
    with pytest.raises(PdnsError, match=r"listener\[0\]\.key_file: cannot be read"):
        certificates.read(config)
    certificates.discard()
    assert certificates.live is None


def test_a_change_that_does_not_go_live(certificates: Certificates, receiver: Receiver, tmp_path: Path) -> None:
    """While a configuration is tried, nothing is sent that would be for other listeners; afterwards it is."""
    adopt(certificates, loaded(tmp_path, TLS))
    tried = certificates.read(loaded(tmp_path, QUIC + TLS))
    write_pair(tmp_path, NEW)
    for _ in range(3):
        look(certificates, boottime_s())
    assert receiver.got == []
    certificates.discard()
    assert tried is not None
    assert tried.fd < 0
    look(certificates, boottime_s())
    assert [sorted(secrets.listeners) for _, secrets in receiver.got] == [[0]]
    assert receiver.got[0][1].listeners[0].certificates[0].chain_pem == NEW.cert_pem


def test_listeners_that_go(certificates: Certificates, tmp_path: Path) -> None:
    """Workers forget the keys of a listener that is removed."""
    adopt(certificates, loaded(tmp_path, TLS))
    secrets = adopt(certificates, loaded(tmp_path, ""))
    assert (secrets.listeners, secrets.ticket_keys) == ({}, ())


def test_notes_are_logged(certificates: Certificates, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An expired certificate is served, with a warning."""
    write_pair(tmp_path, issue(days=-3, since_days=-9))
    adopt(certificates, loaded(tmp_path, TLS))
    assert any("expired 3 days ago" in message for message in caplog.messages)


def test_other_names_are_noticed(certificates: Certificates, tmp_path: Path) -> None:
    """A renewal for other names makes what discovery says untrue, until the configuration is read again."""
    adopt(certificates, loaded(tmp_path, TLS))
    elsewhere = issue(("new.example", "192.0.2.1"))
    for renewed, expected in ((NEW, False), (elsewhere, True)):
        write_pair(tmp_path, renewed)
        for _ in range(3):
            look(certificates, boottime_s())
        assert certificates.take_renamed() is expected
    assert not certificates.take_renamed()


def test_no_memory_for_what_is_new(
    certificates: Certificates, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers that start meanwhile get what is in force; what is new is sent when there is memory again."""
    first = adopt(certificates, loaded(tmp_path, TLS))
    write_pair(tmp_path, NEW)

    def none_left(*_: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patched:
        patched.setattr("pdns.supervisor.certificates.sealed_memory", none_left)
        for _ in range(3):
            look(certificates, boottime_s())
    assert certificates.live is not None
    certificates.live.send_to(receiver)
    look(certificates, boottime_s())
    sent = [(message.generation, secrets.listeners[0].certificates[0].chain_pem) for message, secrets in receiver.got]
    assert sent[0] == (first.generation, OLD.cert_pem)
    assert [chain for _, chain in sent[1:]] == [NEW.cert_pem]
