"""From listeners and their certificates to what discovery says."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import UNSET

from pdns.config.designation import MOST_RESOLVERS
from pdns.config.discovery_schema import DesignatedResolver, Designation
from tests.certificates import issue, write_pair
from tests.unit.config.loading import UPSTREAM, errors, loaded, make_home

PLAIN = '[server]\nlisten = ["10.0.0.53", "[2001:db8::53]:53", "127.0.0.1:53"]\n'
ALL = ("dns.example", "10.0.0.53", "2001:db8::53")


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_home(tmp_path, monkeypatch)
    return tmp_path


def listener(transport: str, listen: str, name: str = "", more: str = "") -> str:
    files = f'cert_file = "{name}fullchain.pem"\nkey_file = "{name}privkey.pem"\n'
    return f'[[listener]]\ntransport = "{transport}"\nlisten = [{listen}]\n{files}{more}'


def designation(*listeners: str, plain: str = PLAIN) -> Designation:
    found = loaded(plain + UPSTREAM + "".join(listeners)).designation
    assert isinstance(found, Designation)
    return found


def announced(found: Designation) -> list[tuple[str, str, int, str, bool]]:
    return [(one.name, ",".join(one.alpn), one.port, one.path, one.verified) for one in found.resolvers]


def test_no_listener_designates_nothing() -> None:
    """Nothing is said, and no certificate is read."""
    assert loaded(PLAIN + UPSTREAM).designation is UNSET


def test_transports_that_share_a_port_are_one(directory: Path) -> None:
    """DoT and DoQ are told as one, and so are HTTP/2 and HTTP/3; the first listener comes first. Loopback is not announced."""
    write_pair(directory, issue(("*.other.example", *ALL)))
    here = '"10.0.0.53", "[2001:db8::53]", "127.0.0.1"'
    found = designation(
        listener("tls", here), listener("quic", here), listener("https", '"10.0.0.53:8443"'), listener("h3", '"10.0.0.53:8443"')
    )
    assert announced(found) == [("dns.example", "dot,doq", 853, "", True), ("dns.example", "h2,h3", 8443, "/dns-query", True)]
    assert [one.addresses for one in found.resolvers] == [("10.0.0.53", "2001:db8::53"), ("10.0.0.53",)]
    assert (found.names, found.uncovered) == (("dns.example",), ())


@pytest.mark.parametrize(
    ("names", "plain", "verified", "uncovered"),
    [
        (ALL, PLAIN, True, ()),
        (("dns.example", "10.0.0.53"), PLAIN, False, ("2001:db8::53",)),
        (("dns.example",), PLAIN, False, ("10.0.0.53", "2001:db8::53")),
        (("dns.example", "192.0.2.1"), '[server]\nlisten = ["0.0.0.0"]\n', True, ()),
        (("dns.example",), '[server]\nlisten = ["0.0.0.0"]\n', False, ()),
        (("dns.example", "192.0.2.1"), '[server]\nlisten = ["0.0.0.0:53", "10.0.0.53:5353"]\n', False, ("10.0.0.53",)),
        (("dns.example", "127.0.0.1"), '[server]\nlisten = ["127.0.0.1"]\n', True, ()),
    ],
)
def test_verified(directory: Path, names: tuple[str, ...], plain: str, verified: bool, uncovered: tuple[str, ...]) -> None:
    """The certificate must be valid for every address at which clients ask; for any address where none is configured."""
    write_pair(directory, issue(names))
    found = designation(listener("tls", '"0.0.0.0"'), plain=plain)
    assert announced(found) == [("dns.example", "dot", 853, "", verified)]
    assert found.uncovered == uncovered


def test_the_certificate_that_covers_most_is_named(directory: Path) -> None:
    """Of several certificates the one that lets clients verify; one without a usable name designates nothing."""
    write_pair(directory, issue(("public.example",)))
    write_pair(directory, issue(ALL), name="inner-")
    more = '[[listener.certificate]]\ncert_file = "inner-fullchain.pem"\nkey_file = "inner-privkey.pem"\n'
    assert announced(designation(listener("tls", '"10.0.0.53"', more=more))) == [("dns.example", "dot", 853, "", True)]
    write_pair(directory, issue(("*.example", "10.0.0.53", "2001:db8::53")))
    assert designation(listener("tls", '"10.0.0.53"')).resolvers == ()


def test_listeners_that_are_not_announced(directory: Path) -> None:
    """Those that demand client certificates; and there are at most eight, so that an answer fits."""
    write_pair(directory, issue(ALL))
    authority = issue((), authority=True, subject="authority")
    (directory / "ca.pem").write_bytes(authority.cert_pem)
    closed = 'client_certificate = "required"\nclient_ca_file = "ca.pem"\n'
    assert designation(listener("tls", '"10.0.0.53"', more=closed)).resolvers == ()
    many = [listener("tls", f'"10.0.0.53:{8000 + number}"') for number in range(MOST_RESOLVERS + 2)]
    assert len(designation(*many).resolvers) == MOST_RESOLVERS


def test_the_url_of_the_page() -> None:
    """https, ASCII, and short enough for one text of RESINFO."""
    for url in ("http://dns.example/", "https://", f"https://{'a' * 240}", "https://dns.example/ü", "https://a b"):
        (error,) = errors(f'{UPSTREAM}[discovery]\ninfo_url = "{url}"')
        assert "discovery.info_url: expected https URL (at most 247 ASCII characters)" in error
    assert loaded(f'{UPSTREAM}[discovery]\ninfo_url = "https://{"a" * 239}"').discovery.info_url


def test_what_a_worker_is_told() -> None:
    """It is made of the configuration, and no key of it."""
    (error,) = errors(f"{UPSTREAM}[designation]\nnames = []")
    assert "designation" in error
    assert DesignatedResolver(name="a", alpn=("dot",), port=853, addresses=()).path == ""
