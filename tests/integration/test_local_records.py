"""Local records of the real program, asked by the real dig: over UDP and TCP, while their files change, break and leave."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pdns.wire.names import from_text
from tests.fakes.upstream import CNAME, A, answer, by_name, negative, records, rr
from tests.integration.realservers import program
from tests.integration.running_pdns import SINKHOLE, RunningPdns, UpstreamThread, feed

RECORDS: list[dict[str, Any]] = [
    {
        "name": "intranet.corp.example",
        "a": ["10.0.0.5"],
        "aaaa": ["fd00::5"],
        "mx": ["10 mail.corp.example"],
        "txt": ["v=spf1 -all"],
    },
    {"name": "_ldap._tcp.corp.example", "srv": ["0 100 389 dc1.corp.example"]},
    {"name": "svc.corp.example", "https": ["1 . alpn=h2"]},
    {"name": "www.corp.example", "cname": "intranet.corp.example"},
    {"name": "*.apps.corp.example", "a": ["10.0.0.7"]},
    {"name": "large.corp.example", "txt": [f"{at:03}" * 80 for at in range(20)]},
    {"name": "far.corp.example", "cname": "www.example.net"},
    {"name": "bad.corp.example", "cname": "malware.test"},
    {"name": "malware-too.test", "a": ["10.0.0.9"]},
]
ANSWERS = [
    ("intranet.corp.example A", ["10.0.0.5"]),
    ("INTRANET.corp.example AAAA", ["fd00::5"]),
    ("intranet.corp.example MX", ["10 mail.corp.example."]),
    ("intranet.corp.example TXT", ['"v=spf1 -all"']),
    ("intranet.corp.example SRV", []),
    ("_ldap._tcp.corp.example SRV", ["0 100 389 dc1.corp.example."]),
    ("svc.corp.example HTTPS", ['1 . alpn="h2"']),
    ("www.corp.example A", ["intranet.corp.example.", "10.0.0.5"]),
    ("x.y.apps.corp.example A", ["10.0.0.7"]),
    ("-x 10.0.0.5", ["intranet.corp.example."]),
    ("-x fd00::5", ["intranet.corp.example."]),
    ("far.corp.example A", ["www.example.net.", "192.0.2.7"]),
    ("bad.corp.example A", [SINKHOLE]),
    ("malware-too.test A", ["10.0.0.9"]),
    ("other.corp.example A", ["192.0.2.7"]),
]


@pytest.fixture
def upstream() -> Iterator[UpstreamThread]:
    with UpstreamThread(answer("192.0.2.7", ttl_s=600)) as thread:
        yield thread


def config(directory: Path, upstream: UpstreamThread, **sections: Any) -> dict[str, Any]:
    listed = feed(directory, "listed", "malware.test", "malware-too.test")
    return {"upstream": {"servers": [upstream.address]}, "feed": [listed], **sections}


def dig(pdns: RunningPdns, *words: str) -> list[str]:
    """The data of the answer, as `dig +short` prints it."""
    command = [program("dig"), "@127.0.0.1", "-p", str(pdns.dns_port), "+short", "+time=60", "+tries=1", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_every_type(tmp_path: Path, upstream: UpstreamThread) -> None:
    """Over UDP and TCP, for clients that validate and others, twice: the second time from the cache."""
    with RunningPdns(tmp_path, config(tmp_path, upstream, record=RECORDS)) as pdns:
        for how in ("+notcp", "+tcp", "+dnssec"):
            for question, expected in ANSWERS:
                for _ in range(2):
                    assert dig(pdns, how, *question.split()) == expected, (how, question)
            assert len(dig(pdns, how, "large.corp.example", "TXT")) == 20, "it comes over TCP when it is too large for UDP"
        assert {name for name in upstream.names if "corp" in name or "malware" in name} == {"other.corp.example"}


def test_what_the_outside_says_of_names_above_and_what_leads_here(tmp_path: Path) -> None:
    """Whether the compiled code or Python has the answer: NXDOMAIN of a name above is NODATA, and local records end a chain."""
    www = from_text("www.corp.example")
    outside = {"portal.example.net": records(rr(CNAME, www), rr(A, bytes([192, 0, 2, 66]), owner=www))}
    with UpstreamThread(by_name(outside, negative())) as upstream:
        above = [{"name": "a.b.c.example", "a": ["10.0.0.1"]}]
        with RunningPdns(tmp_path, config(tmp_path, upstream, record=[*RECORDS, *above])) as pdns:
            for tcp in (False, True):
                for name, rcode in (("b.c.example", "NOERROR"), ("z.c.example", "NXDOMAIN"), ("x.a.b.c.example", "NXDOMAIN")):
                    for _ in range(2):
                        assert pdns.rcode(name, tcp=tcp) == rcode, name
            for _ in range(2):
                assert dig(pdns, "portal.example.net") == ["www.corp.example.", "intranet.corp.example.", "10.0.0.5"]


def test_records_that_come_and_go(tmp_path: Path, upstream: UpstreamThread) -> None:
    """By a reload: cached answers of the outside are replaced, and nothing stays of records that were removed."""
    with RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns:
        for _ in range(2):
            assert dig(pdns, "intranet.corp.example") == ["192.0.2.7"]
            assert dig(pdns, "portal.example.net") == ["192.0.2.7"]
            pdns.write_config(
                config(tmp_path, upstream, record=[*RECORDS, {"name": "portal.example.net", "cname": "www.corp.example"}])
            )
            pdns.reload()
            assert dig(pdns, "intranet.corp.example") == ["10.0.0.5"]
            assert dig(pdns, "portal.example.net") == ["www.corp.example.", "intranet.corp.example.", "10.0.0.5"]
            pdns.write_config(config(tmp_path, upstream))
            pdns.reload()


def test_files_that_change(tmp_path: Path, upstream: UpstreamThread) -> None:
    """A change goes live by itself. One with a mistake changes nothing, also not of other files, until it is corrected."""
    hosts, zone = tmp_path / "hosts", tmp_path / "corp.zone"
    hosts.write_text("10.0.0.1 pc.corp.example pc\nnonsense\n")
    zone.write_text("$ORIGIN corp.example.\n@ SOA ns host 1 2 3 4 5\n@ NS ns\nns A 10.0.0.53\nwww CNAME ns\n")
    local = {"hosts_files": ["hosts"], "zone_files": [str(zone)]}
    with RunningPdns(tmp_path, config(tmp_path, upstream, local=local)) as pdns:
        workers = pdns.worker_pids
        pdns.wait_for_log(f'{hosts}: line 2: expected an address, got "nonsense": left out')
        assert dig(pdns, "pc") == dig(pdns, "pc.corp.example") == ["10.0.0.1"]
        assert dig(pdns, "-x", "10.0.0.1") == ["pc.corp.example."]
        assert dig(pdns, "www.corp.example") == ["ns.corp.example.", "10.0.0.53"]
        hosts.write_text("10.0.0.2 pc.corp.example\n")
        pdns.wait_for(lambda: dig(pdns, "pc.corp.example") == ["10.0.0.2"], "the new address")
        assert dig(pdns, "pc") == ["192.0.2.7"]
        zone.write_text("$ORIGIN corp.example.\nwww A 10.0.0.80\nnew A x\n")
        pdns.wait_for_log(f'{pdns.config_path}: local.zone_files[0]: {zone}: line 3: expected an IPv4 address, got "x"')
        pdns.wait_for_value(0, "config_last_reload_successful")
        hosts.unlink()
        pdns.wait_for_log(f"{pdns.config_path}: local.hosts_files[0]: {hosts}: cannot be read: No such file or directory")
        assert dig(pdns, "www.corp.example") == ["ns.corp.example.", "10.0.0.53"]
        assert dig(pdns, "pc.corp.example") == ["10.0.0.2"]
        hosts.write_text("10.0.0.3 pc.corp.example\n")
        zone.write_text("$ORIGIN corp.example.\nwww A 10.0.0.80\n")
        pdns.wait_for(lambda: dig(pdns, "www.corp.example") == ["10.0.0.80"], "the corrected zone")
        pdns.wait_for(lambda: dig(pdns, "pc.corp.example") == ["10.0.0.3"], "the corrected hosts")
        assert pdns.worker_pids == workers
        pdns.kill_worker()
        pdns.wait_for(lambda: len(set(pdns.worker_pids) - set(workers)) == 1, "another worker")
        pdns.wait_for(lambda: pdns.get("/readyz")[0] == 200, "it answers")
        for number in range(8):  # names of both workers
            assert dig(pdns, f"pc{number}.corp.example") == ["192.0.2.7"]
        assert dig(pdns, "pc.corp.example") == ["10.0.0.3"]
        assert dig(pdns, "www.corp.example") == ["10.0.0.80"]


def test_it_does_not_start_with_a_broken_file(tmp_path: Path, upstream: UpstreamThread) -> None:
    """Nor says that the configuration is valid."""
    (tmp_path / "corp.zone").write_text("www A 10.0.0.80\n")
    pdns = RunningPdns(tmp_path, config(tmp_path, upstream, local={"zone_files": ["corp.zone"]}))
    for command in (["serve"], ["check"]):
        done = subprocess.run(
            [sys.executable, "-m", "pdns", *command, "-c", str(pdns.config_path)],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 2
        assert f"local.zone_files[0]: {tmp_path}/corp.zone: line 1: expected a domain name (no final dot" in done.stderr


def test_what_explain_says(tmp_path: Path, upstream: UpstreamThread) -> None:
    """Which record answers, where it is written, and what a client gets; `check` counts them."""
    (tmp_path / "hosts").write_text("10.0.0.1 pc.corp.example\nnonsense\n")
    pdns = RunningPdns(tmp_path, {**config(tmp_path, upstream, record=RECORDS, local={"hosts_files": ["hosts"]}), "feed": []})

    def said(*command: str) -> str:
        words = [sys.executable, "-m", "pdns", *command, "-c", str(pdns.config_path)]
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
        return done.stdout + done.stderr

    wild = said("explain", "x.apps.corp.example")
    assert "answered by local records: *.apps.corp.example ([[record]])" in wild
    assert "A 10.0.0.7 for 300 s (local)" in wild
    assert f"answered by local records: pc.corp.example ({tmp_path}/hosts)" in said("explain", "pc.corp.example")
    assert "local records" not in said("explain", "corp.example")
    checked = said("check")
    assert f"for 14 names, also from {tmp_path}/hosts" in checked
    assert f'note: {tmp_path}/hosts: line 2: expected an address, got "nonsense": left out' in checked
