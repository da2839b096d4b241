"""Rules of `[[listener]]` and `[encrypted]`."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pdns.config.listener_rules import ListenerNote, listener_notes
from tests.certificates import issue, new_key, revocations, write_pair
from tests.unit.config.loading import UPSTREAM, errors, loaded, make_home

FILES = 'cert_file = "fullchain.pem"\nkey_file = "privkey.pem"\n'
ISSUED = issue()


def listener(transport: str = "tls", listen: str = "127.0.0.1", more: str = "") -> str:
    return f'[[listener]]\ntransport = "{transport}"\nlisten = ["{listen}"]\n{FILES}{more}'


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_home(tmp_path, monkeypatch)
    write_pair(tmp_path, ISSUED)
    return tmp_path


def test_off_by_default() -> None:
    """Without a listener there is nothing encrypted."""
    assert loaded(UPSTREAM).listener == ()


@pytest.mark.parametrize(
    ("transport", "port", "path"),
    [("tls", 853, ""), ("https", 443, "/dns-query"), ("quic", 853, ""), ("h3", 443, "/dns-query")],
)
def test_ports_and_paths(transport: str, port: int, path: str, directory: Path) -> None:
    """The ports of the RFCs, the usual path, and absolute files."""
    (section,) = loaded(UPSTREAM + listener(transport, '0.0.0.0", "[::]:8853')).listener
    assert section.listen == (f"0.0.0.0:{port}", "[::]:8853")
    assert section.path == path
    assert (section.cert_file, section.key_file) == (str(directory / "fullchain.pem"), str(directory / "privkey.pem"))
    assert section.pairs[0].cert_file == section.cert_file


def test_a_tenant_may_have_enrolled_devices_only(directory: Path) -> None:
    """Where there are encrypted listeners, a tenant needs no network; without them, no client would be of it."""
    assert directory.exists()
    tenant = '[[tenant]]\nname = "a"\n'
    assert loaded(UPSTREAM + listener() + tenant).tenant[0].name == "a"
    assert "tenant[0].networks: required" in str(errors(UPSTREAM + tenant))


def test_udp_and_tcp_do_not_clash() -> None:
    """DoH and DoH3 share a port, as do DoT and DoQ, and the metrics may have the TCP port of a DoQ listener."""
    text = UPSTREAM + "".join(map(listener, ("tls", "quic", "https", "h3")))
    assert [section.transport for section in loaded(text).listener] == ["tls", "quic", "https", "h3"]
    assert loaded(f'{UPSTREAM}[metrics]\nlisten = "127.0.0.1:853"\n{listener("quic")}').metrics.listen == "127.0.0.1:853"
    both = f"{UPSTREAM}{listener(listen='127.0.0.1:0')}{listener(listen='127.0.0.1:0')}"
    assert len(loaded(both).listener) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (listener() + listener(), "listener[1].listen[0]: 127.0.0.1:853 over TCP is already listener[0].listen[0]"),
        (listener() + listener("https", "0.0.0.0:853"), "listener[1].listen[0]: 0.0.0.0:853 over TCP is already listener[0]"),
        (listener("quic") + listener("h3", "0.0.0.0:853"), "listener[1].listen[0]: 0.0.0.0:853 over UDP is already listener[0]"),
        (listener(listen="127.0.0.1:5300"), "listener[0].listen[0]: 127.0.0.1:5300 over TCP is already server.listen[0]"),
        (listener("quic", "0.0.0.0:5300"), "listener[0].listen[0]: 0.0.0.0:5300 over UDP is already server.listen[0]"),
        (listener(listen="127.0.0.1:9153"), "metrics.listen: 127.0.0.1:9153 is already listener[0].listen[0]"),
        (listener(listen="0.0.0.0:9153"), "metrics.listen: 127.0.0.1:9153 is already listener[0].listen[0]"),
        (
            listener("https") + '[block_page]\nlisten = ["127.0.0.1:443"]\n',
            "block_page.listen[0]: 127.0.0.1:443 is already listener[0].listen[0]",
        ),
        (
            listener("quic", "127.0.0.1:5354") + '[feeds]\nnotify_listen = "127.0.0.1:5354"\n',
            "feeds.notify_listen: 127.0.0.1:5354 is already listener[0].listen[0]",
        ),
    ],
)
def test_clashes(text: str, expected: str) -> None:
    """An address that is taken over the same protocol is named, with the key that has it."""
    assert expected in errors(UPSTREAM + text)[0]


def test_no_upstream_is_this_server() -> None:
    """A server that would be this listener is a loop; one at another port is not."""
    text = '[upstream]\nservers = ["tls://127.0.0.1:{}#dns.example"]\n'
    (error,) = errors(text.format(853) + listener(listen="0.0.0.0"))
    assert "tls://127.0.0.1:853#dns.example would forward to itself: listener[0].listen[0] listens there" in error
    assert loaded(text.format(8853) + listener(listen="0.0.0.0")).upstream.servers == ("tls://127.0.0.1:8853#dns.example",)
    assert loaded(text.format(853) + listener("quic", "0.0.0.0")).listener


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (listener("doh"), 'listener[0].transport: expected "tls", "https", "quic" or "h3", got "doh"'),
        ("[[listener]]\n", "listener[0].transport: required"),
        ("[listener]\n", "listener: expected array of tables (write [[listener]])"),
        (listener(listen="dns.example"), "listener[0].listen[0]: expected"),
        (listener(more='path = "/dns-query"\n'), 'listener[0].path: only for transport = "https" or "h3", not "tls"'),
        (listener("https", more='path = "dns-query"\n'), 'listener[0].path: expected a path that begins with "/"'),
        (listener("https", more='path = "/dns-query/"\n'), 'listener[0].path: expected a path such as "/dns-query", without "/"'),
        (listener("https", more='path = "/a?dns="\n'), 'got "/a?dns="'),
        (listener("https", more='path = "/a/../b"\n'), 'got "/a/../b"'),
        (listener("https", more=f'path = "/{"a" * 128}"\n'), "at most 128 characters"),
        (listener(more='client_certificate = "required"\n'), "listener[0].client_ca_file: required with client_certificate = "),
        (
            listener(more='client_ca_file = "x"\n'),
            'listener[0].client_certificate: expected "optional" or "required" with client_ca',
        ),
        (
            listener(more='client_certificate = "optional"\nclient_ca_file = "fullchain.pem"\n'),
            "listener[0].client_ca_file: certificate 1 in ",
        ),
        (listener(more='[[listener.certificate]]\ncert_file = "a"\n'), "listener[0].certificate[0].key_file: required"),
        (
            listener(more='[[listener.certificate]]\ncert_file = "fullchain.pem"\nkey_file = "b"\n'),
            "listener[0].certificate[0].key_file: cannot be read: ",
        ),
        (listener().replace("privkey.pem", "credential:key"), "listener[0].key_file: there are no credentials here"),
        (listener().replace("privkey.pem", "fullchain.pem"), "listener[0].key_file: expected a file with a PEM key: "),
        (listener() * 33, "listener: expected at most 32, got 33"),
        ("[encrypted]\nmax_connections = 0\n", "encrypted.max_connections: expected int >= 1, got 0"),
        ("[encrypted]\nticket_key_lifetime_s = 5\n", "encrypted.ticket_key_lifetime_s: expected number >= 60, got 5"),
        ("[encrypted]\nmax_streams_per_connection = 5000\n", "expected int from 1 to 1000, got 5000"),
    ],
)
def test_mistakes(text: str, expected: str) -> None:
    """Each is named by its key, with what was expected."""
    assert any(expected in error for error in errors(UPSTREAM + text)), errors(UPSTREAM + text)


def test_a_key_that_systemd_hands_in(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`credential:NAME` is a file in $CREDENTIALS_DIRECTORY."""
    (directory / "given").mkdir()
    (directory / "privkey.pem").rename(directory / "given/dns-key")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(directory / "given"))
    text = UPSTREAM + listener().replace("privkey.pem", "credential:dns-key")
    assert loaded(text).listener[0].key_file == str(directory / "given/dns-key")


def test_client_certificates(directory: Path) -> None:
    """Authority and revocation list become absolute paths."""
    root = issue(authority=True)
    (directory / "ca.pem").write_bytes(root.cert_pem)
    (directory / "crl.pem").write_bytes(revocations(root))
    more = 'client_certificate = "required"\nclient_ca_file = "ca.pem"\nclient_crl_file = "crl.pem"\n'
    (section,) = loaded(UPSTREAM + listener(more=more)).listener
    assert (section.client_ca_file, section.client_crl_file) == (str(directory / "ca.pem"), str(directory / "crl.pem"))


def test_a_revocation_list_that_is_out_of_date(directory: Path) -> None:
    """It would refuse every client, so it is said. Files that two listeners have are named once."""
    root = issue(authority=True)
    (directory / "ca.pem").write_bytes(root.cert_pem)
    (directory / "crl.pem").write_bytes(revocations(root))
    (directory / "privkey.pem").chmod(0o644)
    more = 'client_certificate = "required"\nclient_ca_file = "ca.pem"\nclient_crl_file = "crl.pem"\n'
    sections = loaded(UPSTREAM + listener(more=more) + listener("https")).listener
    assert [note.key for note in listener_notes(sections)] == ["listener[0].key_file"]
    later = listener_notes(sections, time.time() + 31 * 86400)
    assert [note.key for note in later] == ["listener[0].client_crl_file", "listener[0].key_file"]
    assert "every client certificate is refused" in later[0].text


def test_notes(directory: Path) -> None:
    """An expired certificate, a key for everyone, no names, a key that browsers do not know: valid, and said."""
    assert listener_notes(loaded(UPSTREAM + listener()).listener) == []
    write_pair(directory, issue((), days=-2, since_days=-30, key=new_key("ed25519")), name="b-")
    (directory / "b-privkey.pem").chmod(0o644)
    more = '[[listener.certificate]]\ncert_file = "b-fullchain.pem"\nkey_file = "b-privkey.pem"\n'
    sections = loaded(UPSTREAM + listener(more=more)).listener
    at, cert, key = "listener[0].certificate[0]", directory / "b-fullchain.pem", directory / "b-privkey.pem"
    assert listener_notes(sections) == [
        ListenerNote(f"{at}.key_file", f"every user of this machine may read {key}: chmod 640"),
        ListenerNote(f"{at}.cert_file", f"the certificate in {cert} expired 2 days ago: encrypted clients refuse it"),
        ListenerNote(
            f"{at}.cert_file", f"the certificate in {cert} has no subject alternative name: clients refuse it (RFC 9525)"
        ),
        ListenerNote(
            f"{at}.cert_file",
            "most browsers and phones do not accept Ed25519: use ECDSA P-256, or add it as a further certificate",
        ),
    ]
    assert sum("is not valid yet" in note.text for note in listener_notes(sections, time.time() - 40 * 86400)) == 2
    key.unlink()
    assert "cannot be read" in listener_notes(sections)[0].text
