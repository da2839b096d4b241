"""Carries out the commands about credentials of devices: the only writer of `credentials.json`."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, get_args

import msgspec

from feeds.kept_file import KeptFile
from feeds.refusals import RefusedError
from pdns.clock import steady_s
from pdns.state import enrolments
from pdns.state.commands import Command
from pdns.state.enrolments import KEPT_AFTER_S, CredentialKind, Enrolment, Enrolments, of_tenant

MAX_ENROLMENTS: Final = 20_000
_CREDENTIAL: Final = re.compile(rf"({'|'.join(get_args(CredentialKind))}):([0-9a-f]{{64}})")


class CredentialCommands:
    """One for each state directory. Its methods raise `OSError`."""

    def __init__(self, state_dir: Path) -> None:
        self._file = KeptFile(state_dir / enrolments.FILE_NAME, enrolments.parse, enrolments.MAX_BYTES, Enrolments())

    def work(self) -> Mapping[str, Callable[[Command], Awaitable[str]]]:
        """The commands, and what carries them out."""
        return {"enroll": self._enroll, "revoke": self._revoke}

    @property
    def revision(self) -> int:
        """Of what is in force."""
        return self._file.content.revision

    async def _enroll(self, order: Command) -> str:
        found = _CREDENTIAL.fullmatch(order.credential)
        if not order.tenant or found is None:
            raise RefusedError("say which tenant, and the SHA-256 of a token or a certificate")
        now_s = steady_s()
        entry = Enrolment(
            tenant=order.tenant,
            kind=msgspec.convert(found[1], CredentialKind),
            sha256=found[2],
            device=order.device,
            author=order.user,
            added_s=now_s,
            expires_s=now_s + order.for_s if order.for_s > 0 else 0.0,
        )
        others = self._kept(now_s)
        if any(one.id == entry.id for one in others):
            raise RefusedError(f"{entry.kind} {entry.id} is enrolled already; what was revoked is not enrolled again")
        if len(others) >= MAX_ENROLMENTS:
            raise RefusedError(f"there are {len(others):,} credentials already: revoke those that are not used")
        self._write((*others, entry))
        until = f" until {_clock(entry.expires_s)}" if entry.expires_s else ""
        device = f" for {entry.device}" if entry.device else ""
        return f"{entry.kind} {entry.id} of tenant {entry.tenant}{device} is valid{until}"

    async def _revoke(self, order: Command) -> str:
        now_s = steady_s()
        if not order.tenant or sum(map(bool, (order.credential, order.device, order.all))) != 1:
            raise RefusedError("say which tenant, and one of: the ID of a credential, a device, or all")
        valid = [one for one in of_tenant(self._file.content.enrolments, order.tenant) if one.state(now_s) == "valid"]
        ended = [one for one in valid if order.all or _is_meant(one, order)]
        if not ended:
            what = f"credential {order.credential}" if order.credential else "credential"
            device = f" for {order.device}" if order.device else ""
            there = "; one by `configuration` ends when its key is removed there" if order.credential else ""
            raise RefusedError(f"tenant {order.tenant} has no valid {what}{device}; `pdns tenant list` shows all{there}")
        over = {one.id: msgspec.structs.replace(one, revoked_s=now_s, revoked_by=order.user) for one in ended}
        self._write(tuple(over.get(one.id, one) for one in self._kept(now_s)))
        listed = ", ".join(one.id for one in ended[:10])
        more = f" and {len(ended) - 10} more" if len(ended) > 10 else ""
        return f"revoked for tenant {order.tenant}: {listed}{more}"

    def _kept(self, now_s: float) -> tuple[Enrolment, ...]:
        return tuple(one for one in self._file.content.enrolments if one.ended_s(now_s) > now_s - KEPT_AFTER_S)

    def mend(self) -> bool:
        """As `KeptFile.mend`."""
        return self._file.mend(lambda: self._write(self._file.content.enrolments))

    def _write(self, entries: tuple[Enrolment, ...]) -> None:
        self._file.store(Enrolments(enrolments=entries, revision=self._file.next_revision))


def _is_meant(one: Enrolment, order: Command) -> bool:
    return one.id == order.credential if order.credential else one.device == order.device


def _clock(at_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_s))
