"""Credentials of devices: enrolled and revoked by commands, kept in one file, read by each worker."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec
import pytest

from feeds import audit
from feeds.commands import CommandRunner
from feeds.credential_commands import MAX_ENROLMENTS
from pdns.core.enrolled import EXPIRED, REVOKED
from pdns.files import records
from pdns.state import enrolments
from pdns.state.commands import Command, Outcome
from pdns.state.enrolments import Enrolment, Enrolments, EnrolmentsWatch
from tests.unit.feeds.test_commands import Feeds

ONE, TWO, THREE = ("1" * 64, "2" * 64, "3" * 64)


def said(state_dir: Path, command: str, **order: object) -> Outcome:
    wanted = msgspec.convert({"user": "ann", "command": command, "tenant": "leeds", **order}, Command)
    return asyncio.run(CommandRunner(state_dir, Feeds()).carry_out(wanted))


def states(state_dir: Path, now_s: float) -> dict[str, str]:
    return {one.id[0]: one.state(now_s) for one in enrolments.read(state_dir).enrolments}


def written(state_dir: Path, **changes: object) -> None:
    """Change every entry in the file."""
    before = enrolments.read(state_dir)
    after = tuple(msgspec.structs.replace(one, **changes) for one in before.enrolments)
    records.store(
        state_dir / enrolments.FILE_NAME, records.encode(msgspec.structs.replace(before, enrolments=after, revision=10**15))
    )


@pytest.mark.parametrize(
    ("order", "text"),
    [
        ({"command": "enroll", "credential": f"token:{ONE}", "tenant": ""}, "say which tenant"),
        ({"command": "enroll"}, "say which tenant, and the SHA-256"),
        ({"command": "enroll", "credential": ONE}, "the SHA-256"),
        ({"command": "enroll", "credential": f"token:{ONE[1:]}"}, "the SHA-256"),
        ({"command": "enroll", "credential": f"token:{'A' * 64}"}, "the SHA-256"),
        ({"command": "enroll", "credential": f"password:{ONE}"}, "the SHA-256"),
        ({"command": "enroll", "credential": f"token:{ONE}", "device": "x" * 65}, "device: expected at most 64 characters"),
        ({"command": "enroll", "credential": f"token:{ONE}", "device": "a\nb"}, "device: "),
        ({"command": "revoke"}, "and one of"),
        ({"command": "revoke", "all": True, "device": "phone"}, "and one of"),
        ({"command": "revoke", "tenant": "", "all": True}, "say which tenant"),
        ({"command": "revoke", "credential": ONE[:12]}, f"tenant leeds has no valid credential {ONE[:12]}; `pdns tenant list`"),
        ({"command": "revoke", "device": "phone"}, "tenant leeds has no valid credential for phone"),
    ],
)
def test_refused_with_a_reason(tmp_path: Path, order: dict[str, object], text: str) -> None:
    """A command that makes no sense changes nothing, and the answer says what is missing."""
    outcome = said(tmp_path, **order)  # type: ignore[arg-type]
    assert not outcome.done
    assert text in outcome.text
    assert not (tmp_path / enrolments.FILE_NAME).exists()


def test_enrolled_and_revoked(tmp_path: Path) -> None:
    """Each command waits for its revision, and the audit log says who enrolled and revoked what. Another tenant keeps its own."""
    outcome = said(tmp_path, "enroll", credential=f"token:{ONE}", device="Ann's phone", for_s=60)
    assert outcome.text.startswith(f"token {ONE[:12]} of tenant leeds for Ann's phone is valid until ")
    assert outcome.wanted.credentials == enrolments.read(tmp_path).revision > 0
    said(tmp_path, "enroll", credential=f"certificate:{TWO}", device="Ann's phone")
    said(tmp_path, "enroll", credential=f"token:{THREE}", tenant="york", device="Ann's phone")
    revision = enrolments.read(tmp_path).revision
    assert said(tmp_path, "revoke", device="Ann's phone").text == f"revoked for tenant leeds: {ONE[:12]}, {TWO[:12]}"
    assert enrolments.read(tmp_path).revision > revision
    entries = enrolments.read(tmp_path).enrolments
    assert [bool(one.revoked_s) for one in entries] == [True, True, False]
    assert [(one.author, one.revoked_by) for one in entries] == [("ann", "ann"), ("ann", "ann"), ("ann", "")]
    lines = [msgspec.json.decode(line, type=audit.Line) for line in (tmp_path / audit.FILE_NAME).read_bytes().splitlines()]
    assert [(line.command, line.tenant, line.device) for line in lines][-1] == ("revoke", "leeds", "Ann's phone")


def test_a_credential_is_enrolled_once(tmp_path: Path) -> None:
    """Not for another tenant either, and not again when it was revoked: the same token must not come back to life."""
    assert said(tmp_path, "enroll", credential=f"token:{ONE}").done
    assert "is enrolled already" in said(tmp_path, "enroll", credential=f"token:{ONE}", tenant="york").text
    assert said(tmp_path, "revoke", credential=ONE[:12]).done
    assert "is enrolled already" in said(tmp_path, "enroll", credential=f"token:{ONE}").text
    assert "no valid credential" in said(tmp_path, "revoke", credential=ONE[:12]).text


def test_what_has_ended_is_listed_for_a_while(tmp_path: Path) -> None:
    """Then it leaves the file with the next command."""
    said(tmp_path, "enroll", credential=f"token:{ONE}")
    said(tmp_path, "revoke", all=True)
    said(tmp_path, "enroll", credential=f"token:{TWO}")
    assert states(tmp_path, 0.0) == {"1": "revoked", "2": "valid"}
    written(tmp_path, revoked_s=1.0)
    said(tmp_path, "enroll", credential=f"token:{THREE}")
    assert states(tmp_path, 0.0) == {"3": "valid"}


def test_there_is_a_most(tmp_path: Path) -> None:
    """Of all tenants together, so that the file stays one that each worker reads in no time."""
    one = Enrolment(tenant="york", kind="token", sha256=ONE, author="ann", added_s=1.0)
    many = tuple(msgspec.structs.replace(one, sha256=f"{number:064x}"[::-1]) for number in range(MAX_ENROLMENTS))
    records.store(tmp_path / enrolments.FILE_NAME, records.encode(Enrolments(enrolments=many)))
    assert "20,000 credentials already" in said(tmp_path, "enroll", credential=f"token:{'f' * 64}").text
    assert said(tmp_path, "revoke", tenant="york", all=True).text.endswith(" and 19990 more")


def test_the_rules_of_a_worker(tmp_path: Path) -> None:
    """Read again when the file changes or an entry expires, and not otherwise. What has ended is refused with its reason."""
    watch = EnrolmentsWatch(tmp_path)
    assert watch.is_due(1000.0)
    rules = watch.load(1000.0)
    assert (rules.tokens, rules.certificates, rules.ended) == ({}, {}, {})
    assert not watch.is_due(1001.0)
    for kind, digest in (("token", ONE), ("certificate", TWO), ("token", THREE)):
        said(tmp_path, "enroll", credential=f"{kind}:{digest}", for_s=60)
    written(tmp_path, expires_s=2000.0)
    assert watch.is_due(1001.0)
    rules = watch.load(1001.0)
    assert rules.tokens == {bytes.fromhex(ONE): "leeds", bytes.fromhex(THREE): "leeds"}
    assert rules.certificates == {bytes.fromhex(TWO): "leeds"}
    assert watch.revision == 10**15
    assert not watch.is_due(1999.9)
    assert watch.is_due(2000.0)
    assert watch.is_due(1000.0)  # the clock is set back
    written(tmp_path, revoked_s=time.time())
    said(tmp_path, "enroll", credential=f"token:{'4' * 64}")
    written(tmp_path, expires_s=2000.0)
    rules = watch.load(2000.0)
    assert (rules.tokens, rules.certificates) == ({}, {})
    assert {digest.hex()[0]: why for digest, why in rules.ended.items()} == dict.fromkeys("123", REVOKED) | {"4": EXPIRED}


def test_a_damaged_file(tmp_path: Path) -> None:
    """Its second copy is used; while the process runs, what it knows is written again."""
    said(tmp_path, "enroll", credential=f"token:{ONE}")
    path = tmp_path / enrolments.FILE_NAME
    path.write_bytes(path.read_bytes()[:-20])
    assert EnrolmentsWatch(tmp_path).load(0.0).tokens
    runner = CommandRunner(tmp_path, Feeds())
    assert enrolments.parse(path.read_bytes()).enrolments
    for one in (path, path.with_name(path.name + records.SECOND_COPY)):
        one.unlink()
    assert asyncio.run(runner.look())
    assert enrolments.parse(path.read_bytes()).enrolments
    assert not asyncio.run(runner.look())
