"""Private suffixes and names of one label are answered here and never reach an upstream."""

from __future__ import annotations

from pathlib import Path

import dns.message
import dns.query
import dns.rcode

from tests.integration.running_pdns import SINKHOLE, RunningPdns, UpstreamThread, feed

LOCAL = {"never_forward": ["lan"], "forward_single_labels": False}
ZONE = {"name": "ad.lan", "servers": "default"}


def test_they_never_reach_an_upstream(tmp_path: Path) -> None:
    """NXDOMAIN over UDP and TCP, at once after a reload, whatever the cache holds; listed ones are blocked."""
    with UpstreamThread() as upstream:
        config = {"upstream": {"servers": [upstream.address]}, "feed": [feed(tmp_path, "listed", "bad.lan")]}
        with RunningPdns(tmp_path, config) as pdns:
            here, elsewhere = ("nas.lan", "printer"), ("dc1.ad.lan", "www.example.net")
            for name in (*here, *elsewhere):
                assert pdns.rcode(name) == "NOERROR"
            pdns.write_config({**config, "local": LOCAL, "zone": [ZONE]})
            pdns.reload()
            before = len(upstream.names)
            for name in here:
                assert pdns.rcode(name) == "NXDOMAIN"
                assert pdns.rcode(name, tcp=True) == "NXDOMAIN"
                assert pdns.rcode(f"not-asked-before.{name}" if "." in name else "scanner") == "NXDOMAIN"
            for name in elsewhere:
                assert pdns.rcode(f"x.{name}") == "NOERROR"
            assert pdns.addresses("bad.lan") == [SINKHOLE]
            assert upstream.names[before:] == [f"x.{name}" for name in elsewhere]


def test_a_validating_client_is_left_to_the_root(tmp_path: Path) -> None:
    """Its query for a name of one label is forwarded: it believes nothing unsigned there."""
    with (
        UpstreamThread() as upstream,
        RunningPdns(tmp_path, {"upstream": {"servers": [upstream.address]}, "local": LOCAL}) as pdns,
    ):
        query = dns.message.make_query("printer", "A", want_dnssec=True)
        assert dns.query.udp(query, "127.0.0.1", port=pdns.dns_port, timeout=60).rcode() == dns.rcode.NOERROR
        assert upstream.names == ["printer"]
