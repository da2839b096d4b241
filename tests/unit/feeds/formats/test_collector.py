"""URLs in lists: their hosts and addresses are listed only where the feed's settings ask for them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from feeds.build import perform
from feeds.jobs import Failed, Parse
from pdns.config.schema import Feed
from pdns.config.value_types import FeedFormat
from tests.unit.feeds.reading import bundle, names, networks, odd, read


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://one.test/", "one.test"),
        ("https://One.TEST./x", "one.test"),
        ("hxxps[:]//one[.]test/x", "one.test"),
        ("hxxp[://]one[.]test", "one.test"),
        ("http://user:pass@one.test:8080/x?y#z", "one.test"),
        ("http://one.test?x=http://two.test/", "one.test"),
        ("http://bücher.test/x", "xn--bcher-kva.test"),
        ("one.test/x", "one.test"),
        ("http://*.one.test/x", None),
        ("http://localhost/x", None),
        ("http://com/x", None),
        ("http:///x", None),
        ("http://", None),
        ("/x/y.php", None),
    ],
)
def test_hosts_of_urls(url: str, host: str | None) -> None:
    """Where the owner asks for it, a URL lists its host, alone, in every spelling; what has no host to list is counted."""
    without = read(url + "\n", "domains")
    assert names(without) == {}
    assert sum(lines.count for lines in without.odd.values()) == 1
    wanted = read(url + "\n", "domains", url_hosts=True)
    assert names(wanted) == ({host: "exact"} if host else {})
    assert bool(wanted.odd) is (host is None)


def test_addresses_of_urls_need_both() -> None:
    """A URL of an address lists it only where hosts of URLs and addresses are both wanted."""
    content = "http://198.51.100.7:8080/x\nhttp://[2001:db8::7]/x\n"
    assert networks(read(content, url_hosts=True)) == []
    assert networks(read(content, addresses=True)) == []
    assert networks(read(content, addresses=True, url_hosts=True)) == ["198.51.100.7/32", "2001:db8::7/128"]


def test_url_indicators_list_no_domain() -> None:
    """What a publisher calls a URL lists no host, not even one written like a name, unless the owner asks for it."""
    contents: dict[FeedFormat, str] = {
        "misp": json.dumps({"Event": {"Attribute": [{"type": "url", "to_ids": True, "value": "github.com"}]}}),
        "stix": bundle({"pattern": "[url:value = 'github.com']"}),
        "threatfox": json.dumps({"1": [{"ioc_value": "github.com", "ioc_type": "url", "threat_type": "x"}]}),
        "urlhaus": json.dumps({"1": [{"url": "github.com"}]}),
    }
    for name, content in contents.items():
        assert (names(read(content, name)), odd(read(content, name))) == ({}, {"url": 1})
        assert names(read(content, name, url_hosts=True)) == {"github.com": "exact"}


def test_a_list_of_urls_alone_says_what_to_set(tmp_path: Path) -> None:
    """A list that is refused for it holds URLs and nothing else tells how its hosts would be listed."""
    (tmp_path / "list").write_text("http://one.test/x\n")
    said = perform(Parse(Feed(name="test", url="file:///list"), str(tmp_path / "list"), str(tmp_path / "parsed")))
    assert isinstance(said, Failed)
    assert said.reason.endswith(
        "most often url_with_path, as in line 1: http://one.test/x; url_hosts = true lists the hosts of URLs"
    )
