"""From the answer that a user gets to the block, by the case reference alone; and structured errors as dig and kdig show them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pdns.core.case import ALPHABET
from pdns.state import reports
from tests.integration.pagevisits import ADDRESS, page_port, report, visit
from tests.integration.running_pdns import SINKHOLE, RunningPdns, UpstreamThread, feed
from tests.integration.test_commands import done, pdns_of

LISTED = ["listed.test", "*.below.test"]


@pytest.fixture(scope="module")
def upstream() -> Iterator[UpstreamThread]:
    with UpstreamThread() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def pdns(tmp_path_factory: pytest.TempPathFactory, upstream: UpstreamThread) -> Iterator[RunningPdns]:
    directory = tmp_path_factory.mktemp("cases")
    config = {
        "server": {"workers": 2},
        "upstream": {"servers": [upstream.address]},
        "policy": [
            {"name": "default", "organisation": "Cyngor Caerdydd", "contact": ["mailto:it@cardiff.example"], "language": "cy"},
            {"name": "schools", "block": ["games.example", "*.chat.example"]},
        ],
        "tenant": [{"name": "school", "networks": ["127.0.0.7/32"], "policy": "schools"}],
        "block_page": {"listen": [f"{ADDRESS}:0"]},
        "feed": [feed(directory, "urlhaus", *LISTED), feed(directory, "phish", "phish.test", category="phishing")],
    }
    with RunningPdns(directory, config) as running:
        yield running


def asked(pdns: RunningPdns, program: str, *words: str) -> str:
    if shutil.which(program) is None:
        pytest.skip(f"no {program} here")
    command = [program, "@127.0.0.1", "-p", str(pdns.dns_port), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout


def case_in(text: str) -> str:
    """The reference that the answer shows."""
    (found,) = set(re.findall(rf"\(case ([{ALPHABET}]{{4}}-[{ALPHABET}]{{4}})\)", text))
    return str(found)


def explained(pdns: RunningPdns, case: str) -> str:
    """What `pdns explain` prints, once the case is written."""
    until_s = time.monotonic() + 120
    while True:
        result = pdns_of(pdns, "explain", case)
        if result.returncode == 0 or time.monotonic() > until_s:
            assert result.returncode == 0, result
            return result.stdout
        time.sleep(0.1)


def test_the_reference_in_an_answer_leads_to_the_block(pdns: RunningPdns) -> None:
    """As a user reads it out; another worker, and a name below, have the same."""
    case = case_in(asked(pdns, "dig", "www.listed.test"))
    assert {case_in(asked(pdns, "dig", f"n{number}.listed.test", "AAAA")) for number in range(6)} == {case}
    text = explained(pdns, case.lower().replace("-", ""))
    assert f"case {case}: listed.test blocked by urlhaus in policy default, first " in text
    assert "the name and everything below it" in text
    as_json = json.loads(pdns_of(pdns, "explain", case, "--json").stdout)
    assert (as_json["case"]["listed"], as_json["asked"]) == ("listed.test", "listed.test")


def test_each_policy_has_its_own_cases(pdns: RunningPdns) -> None:
    """The policy of the client counts, so that an administrator sees whose block it is."""
    everyones = case_in(asked(pdns, "dig", "www.phish.test"))
    schools = case_in(asked(pdns, "dig", "-b", "127.0.0.7", "www.phish.test"))
    assert everyones != schools
    assert "blocked by phish in policy default," in explained(pdns, everyones)
    text = explained(pdns, schools)
    assert "blocked by phish in policy schools," in text
    assert case_in(text.partition("a client gets")[2]) == schools


@pytest.mark.parametrize(("name", "listed"), [("www.games.example", "games.example"), ("a.chat.example", "*.chat.example")])
def test_a_policys_own_block_is_a_case(pdns: RunningPdns, name: str, listed: str) -> None:
    """It is explained as what it is. `allow` refuses it for everyone, as such an entry would change nothing, and does it for a
    tenant.
    """
    case = case_in(asked(pdns, "dig", "-b", "127.0.0.7", name))
    text = explained(pdns, case)
    assert "it was removed" not in text
    assert f"policy schools: blocked by policy schools, which names {listed}" in text
    result = pdns_of(pdns, "allow", "--case", case, "--for", "1h")
    assert (result.returncode, "blocked by policy schools in the configuration" in result.stderr) == (2, True), result
    done(pdns, "allow", "--case", case, "--tenant", "school", "--for", "1h")
    assert "(case " not in asked(pdns, "dig", "-b", "127.0.0.7", name)
    done(pdns, "indicators", "remove", listed, "--tenant", "school")
    assert case_in(asked(pdns, "dig", "-b", "127.0.0.7", name)) == case


def test_a_report_of_a_name_that_a_policy_blocks(pdns: RunningPdns) -> None:
    """An entry for everyone would change nothing, so that the report stays open; one for the tenant lifts the block."""
    port, name = page_port(pdns), "www.games.example"
    pdns.wait_for(lambda: visit(port, name, source="127.0.0.7").status == 403, "the page knows")
    assert report(port, name, source="127.0.0.7").status == 200
    (one,) = reports.open_reports(pdns.state_dir)
    assert f"pdns explain {name} --tenant school" in done(pdns, "reports", "show", str(one.number))
    result = pdns_of(pdns, "reports", "allow", str(one.number), "--for", "1h", "--everyone")
    assert (result.returncode, "blocked by policy schools in the configuration" in result.stderr) == (2, True), result
    assert reports.open_reports(pdns.state_dir) == [one]
    done(pdns, "reports", "allow", str(one.number), "--for", "1h")
    assert "(case " not in asked(pdns, "dig", "-b", "127.0.0.7", name)
    done(pdns, "indicators", "remove", name, "--tenant", "school")


def test_the_block_page_shows_the_same_reference(pdns: RunningPdns) -> None:
    """For each client and policy: of a listed name, of one below it, of an administrator's block, and of a policy's own."""
    port = page_port(pdns)
    done(pdns, "block", "club.test", "--reason", "ticket 8")
    everyones = [("127.0.0.1", name) for name in ("phish.test", "www.listed.test", "a.below.test", "www.club.test")]
    schools = [("127.0.0.7", name) for name in ("phish.test", "www.listed.test", "www.club.test", "www.games.example")]
    pdns.wait_for(
        lambda: {visit(port, name, source=source).status for source, name in (*everyones, *schools)} == {403}, "it knows"
    )
    for source, name in (*everyones, *schools):
        shown = re.findall('<p class="case">(.*?)</p>', visit(port, name, source=source).body)
        assert shown == [case_in(asked(pdns, "dig", "-b", source, name))], (source, name)


def test_what_is_typed_wrongly_is_told(pdns: RunningPdns) -> None:
    """One wrong character, and a sound reference that no block here has."""
    case = case_in(asked(pdns, "dig", "listed.test"))
    wrong = case[:-1] + ALPHABET[(ALPHABET.index(case[-1]) + 1) % 32]
    for words in (("explain", wrong), ("allow", "--case", wrong)):
        result = pdns_of(pdns, *words)
        assert (result.returncode, "is mistyped" in result.stderr) == (2, True), result
    for words in (("explain", "0000-0000"), ("allow", "--case", "0000-0000")):
        result = pdns_of(pdns, *words)
        assert (result.returncode, "ask for the name" in result.stderr.lower()) == (2, True), result


def test_a_case_can_be_allowed(pdns: RunningPdns) -> None:
    """The listed name and nothing else, for a time, with the case as the reason."""
    case = case_in(asked(pdns, "dig", "a.below.test"))
    assert "everything below it" in explained(pdns, case)
    assert "*.below.test is allowed until" in done(pdns, "allow", "--case", case, "--for", "24h")
    assert SINKHOLE not in pdns.addresses("a.below.test")
    assert SINKHOLE not in pdns.addresses("b.below.test")
    assert pdns.addresses("listed.test") == [SINKHOLE]
    assert f"case {case}" in done(pdns, "indicators")
    assert "*.below.test" in done(pdns, "indicators", "remove", "*.below.test")
    assert pdns.addresses("a.below.test") == [SINKHOLE]


def test_a_name_or_a_case_and_a_reason_for_a_name(pdns: RunningPdns) -> None:
    """Everything else is refused."""
    for words in ((), ("x.test",), ("x.test", "--case", "0000-0000", "--reason", "r")):
        assert pdns_of(pdns, "allow", *words).returncode == 2


def test_an_administrators_block_is_a_case(pdns: RunningPdns) -> None:
    """It has the feed "local"."""
    done(pdns, "block", "shop.test", "--reason", "ticket 7")
    case = case_in(asked(pdns, "dig", "a.shop.test"))
    assert f"case {case}: shop.test blocked by local in policy default" in explained(pdns, case)
    done(pdns, "allow", "--case", case)
    assert SINKHOLE not in pdns.addresses("a.shop.test")


def test_dig_and_kdig_show_structured_errors(pdns: RunningPdns) -> None:
    """Strict JSON, over UDP and TCP, with cookie, NSID and padding beside the option; text for those who do not ask."""
    plain = asked(pdns, "dig", "x.listed.test")
    case = case_in(plain)
    assert '"j"' not in plain
    expected = {
        "c": ["mailto:it@cardiff.example"],
        "j": f"malware: listed.test is listed by urlhaus (case {case})",
        "s": 1,
        "o": "Cyngor Caerdydd",
        "l": "cy",
    }
    shown = [
        asked(pdns, "dig", "x.listed.test", "+ednsopt=26", *words)
        for words in (["+notcp"], ["+tcp"], ["+nsid"], ["+padding=128", "+dnssec"], ["+nocookie", "+bufsize=512"])
    ]
    for text in shown:
        (found,) = re.findall(r"EDE: 15 \(Blocked\): \((\{.*\})\)$", text, re.MULTILINE)
        assert list(json.loads(found).items()) == list(expected.items())
    for words in (["+notcp"], ["+tcp"], ["+padding=64"]):
        text = asked(pdns, "kdig", "x.listed.test", "+ednsopt=26", *words)
        (found,) = re.findall(r"^;; EDE: 15 \(Blocked\): '(\{.*\})'$", text, re.MULTILINE)
        assert json.loads(found) == expected


def test_no_client_is_in_the_file(pdns: RunningPdns) -> None:
    """Times, policies, feeds and listed names, and nothing else."""
    explained(pdns, case_in(asked(pdns, "dig", "secret.phish.test")))
    path = Path(str(pdns.config_path)).parent
    (file,) = path.rglob("cases.jsonl")
    text = file.read_text()
    assert "127.0.0.1" not in text
    assert "secret" not in text
    lines = [msgspec.json.decode(line) for line in text.splitlines()]
    assert all([type(part) for part in line] == [int, str, str, str] for line in lines)
    assert file.stat().st_mode & 0o007 == 0
