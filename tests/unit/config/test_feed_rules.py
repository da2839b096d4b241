"""The keys that say how a feed is fetched: what they come to, and what is said of those that do not fit together."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdns.config.addresses import ZoneAddress, parse_source, source_path, web_kind, web_url, zone_of
from pdns.config.load import from_tables
from pdns.config.schema import Feed
from pdns.errors import ConfigErrors, InvalidAddress
from tests.unit.config.test_load import CERTIFICATE

KEY = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"
WEB, ZONE, FILE = "https://feeds.example.net/list", "axfr://192.0.2.1/rpz.example", "lists/own.txt"


def settled(directory: Path, **keys: object) -> Feed:
    tables = {"upstream": {"servers": ["192.0.2.53"]}, "feed": [{"name": "sample", **keys}]}
    return from_tables(tables, "pdns.toml", directory).feed[0]


@pytest.mark.parametrize(
    ("spelt", "settled"),
    [
        ("axfr://192.0.2.1/rpz.example", "axfr://192.0.2.1:53/rpz.example"),
        ("AXFR://[2001:DB8::1]:5353/RPZ.example.", "axfr://[2001:db8::1]:5353/rpz.example"),
        ("taxii+https://example.net/api/collections/1/", "taxii+https://example.net/api/collections/1/"),
        ("misp+http://127.0.0.1:8080/feed", "misp+http://127.0.0.1:8080/feed"),
        ("misp-api+https://misp.example.net/?last=1d", "misp-api+https://misp.example.net/?last=1d"),
    ],
)
def test_sources(spelt: str, settled: str) -> None:
    """Each kind of url in its canonical spelling, which is settled."""
    assert parse_source(spelt, Path("/")) == settled
    assert parse_source(settled, Path("/")) == settled


@pytest.mark.parametrize(
    "text",
    [
        "axfr://", "axfr://192.0.2.1", "axfr://192.0.2.1/", "axfr:192.0.2.1/x", "axfr://ns.example.net/rpz.example", "axfr://192.0.2.1:0/x",
        "axfr://0.0.0.0/x", "axfr://192.0.2.1/a..b", "axfr://192.0.2.1/a b", "taxii://example.net/", "taxii+ftp://example.net/",
        "misp+https://", "other+https://example.net/", "misp-api+file:///x",
    ],
)  # fmt: skip
def test_what_is_no_source(text: str) -> None:
    """A primary is an address, never a name; and only the kinds that there are, are."""
    with pytest.raises(InvalidAddress):
        parse_source(text, Path("/"))


def test_urls_taken_apart() -> None:
    """Every transport knows its own."""
    assert zone_of("axfr://192.0.2.1:53/rpz.example") == ZoneAddress("192.0.2.1", 53, "rpz.example")
    assert (zone_of(WEB), source_path(ZONE)) == (None, None)
    assert (web_kind("misp-api+https://x/"), web_url("misp-api+https://x/")) == ("misp-api+", "https://x/")
    assert (web_kind(WEB), web_url(WEB)) == ("", WEB)


def test_canonical_values(tmp_path: Path) -> None:
    """Paths are absolute, and start at the file's directory; a zone is in the format of zones."""
    (tmp_path / "ca.pem").write_text(CERTIFICATE)
    feed = settled(tmp_path, url=WEB, ca_file="ca.pem", token_file="token", client_cert_file="crt", client_key_file="/etc/key")
    assert (feed.ca_file, feed.token_file) == (f"{tmp_path}/ca.pem", f"{tmp_path}/token")
    assert (feed.client_cert_file, feed.client_key_file) == (f"{tmp_path}/crt", "/etc/key")
    zone = settled(tmp_path, url=ZONE, tsig_name="key.example", tsig_secret_file="secret")
    assert (zone.format, zone.url, zone.tsig_secret_file) == ("rpz", "axfr://192.0.2.1:53/rpz.example", f"{tmp_path}/secret")


@pytest.mark.parametrize(
    ("keys", "key", "reason"),
    [
        ({"url": FILE, "token_file": "t"}, "token_file", "is for http and https only"),
        ({"url": ZONE, "proxy": "http://p"}, "proxy", "is for http and https only"),
        ({"url": WEB, "tsig_name": "k", "tsig_secret_file": "s"}, "tsig_name", "is for axfr only"),
        ({"url": WEB, "format": "csv", "rpz_action": "given"}, "rpz_action", 'is for format = "rpz" only, got "csv"'),
        ({"url": WEB, "rpz_action": "sink"}, "rpz_action", 'got "sink"'),
        ({"url": ZONE, "tsig_name": "k"}, "tsig_name", "needs tsig_secret_file beside it"),
        ({"url": ZONE, "tsig_secret_file": "s"}, "tsig_secret_file", "needs tsig_name beside it"),
        ({"url": ZONE, "tsig_name": "a..b", "tsig_secret_file": "s"}, "tsig_name", "expected a domain name"),
        ({"url": ZONE, "tsig_name": "k", "tsig_secret_file": "s", "tsig_algorithm": "md5"}, "tsig_algorithm", 'expected "hmac-'),
        ({"url": ZONE, "format": "hosts"}, "format", 'expected "rpz"'),
        ({"url": WEB, "client_key_file": "k"}, "client_key_file", "needs client_cert_file beside it"),
        ({"url": WEB, "signature_url": WEB}, "signature_url", "needs minisign_key beside it"),
        ({"url": WEB, "minisign_key": "RWQ"}, "minisign_key", "expected minisign public key"),
        ({"url": "misp+" + WEB, "minisign_key": KEY}, "minisign_key", "is for a list that is one file only"),
        ({"url": "taxii+" + WEB, "checksum_url": WEB}, "checksum_url", "is for a list that is one file only"),
        ({"url": WEB, "checksum_url": "sums.txt"}, "checksum_url", "expected a URL such as https://"),
        ({"url": WEB, "proxy": "socks5://127.0.0.1"}, "proxy", "expected a URL such as http://"),
        ({"url": WEB, "token_file": "a", "token_env": "B"}, "token_env", "expected one of token_file and token_env"),
        ({"url": WEB, "token_header": "A"}, "token_header", "needs token_file or token_env beside it"),
        ({"url": WEB, "token_header": "A: B: C", "token_file": "t"}, "token_header", "expected header field"),
        ({"url": WEB, "token_header": "A", "token_query": "b", "token_file": "t"}, "token_query", "expected one of"),
        ({"url": WEB, "token_query": "a&b", "token_file": "t"}, "token_query", "expected name in a query"),
        ({"url": "misp-api+" + WEB}, "url", "needs token_file or token_env beside it"),
        ({"url": WEB, "ca_file": "none.pem"}, "ca_file", "cannot be read"),
    ],
)  # fmt: skip
def test_rules(tmp_path: Path, keys: dict[str, object], key: str, reason: str) -> None:
    """What does not fit together is an error that names the key."""
    with pytest.raises(ConfigErrors) as caught:
        settled(tmp_path, **keys)
    error = caught.value.errors[0]
    assert str(error).startswith(f"pdns.toml: feed[0].{key}: ")
    assert reason in error.reason


def test_secrets_in_a_proxy_are_not_shown(tmp_path: Path) -> None:
    """An error about a proxy does not show its password."""
    with pytest.raises(ConfigErrors) as caught:
        settled(tmp_path, url=WEB, proxy="https://user:hunter2@proxy.example.net")
    assert "hunter2" not in str(caught.value)


def test_where_notify_is_heard(tmp_path: Path) -> None:
    """An endpoint that is not one of ours."""
    tables = {"upstream": {"servers": ["192.0.2.53"]}, "server": {"listen": ["127.0.0.1:5301"]}}
    config = from_tables({**tables, "feeds": {"notify_listen": "192.0.2.1"}}, "pdns.toml", tmp_path)
    assert config.feeds.notify_listen == "192.0.2.1:53"
    with pytest.raises(ConfigErrors, match=r"feeds.notify_listen: 127.0.0.1:5301 is already server.listen\[0\]"):
        from_tables({**tables, "feeds": {"notify_listen": "127.0.0.1:5301"}}, "pdns.toml", tmp_path)
