"""`<state>/credentials.json`: the tokens and client certificates of devices, as SHA-256 digests.

Only the feeds process writes it, after commands (`pdns.state.commands`). Each worker notices the new file. Times are seconds
since the epoch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from pdns.core.enrolled import EXPIRED, NO_CREDENTIAL_RULES, REVOKED, CredentialRules
from pdns.files import records
from pdns.state.rules_watch import RulesWatch

FILE_NAME: Final = "credentials.json"
MAX_BYTES: Final = 64 * 1024 * 1024
ID_CHARACTERS: Final = 12
KEPT_AFTER_S: Final = 90 * 86400.0  # how long an enrolment that has ended is listed, and refused with its reason

CredentialKind = Literal["token", "certificate"]
State = Literal["valid", "expired", "revoked"]
_Digest = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class Enrolment(msgspec.Struct, frozen=True, kw_only=True):
    """One credential of a tenant. `sha256` is of the token, or of the certificate in DER."""

    tenant: str
    kind: CredentialKind
    sha256: _Digest
    device: str = ""
    author: str
    added_s: float
    expires_s: float = 0.0  # 0: never
    revoked_s: float = 0.0  # 0: it is not revoked
    revoked_by: str = ""

    @property
    def id(self) -> str:
        """What administrators call it. It says nothing about the token."""
        return credential_id(self.sha256)

    def state(self, now_s: float) -> State:
        """What it is good for."""
        if self.revoked_s:
            return "revoked"
        return "expired" if 0.0 < self.expires_s <= now_s else "valid"

    def ended_s(self, now_s: float) -> float:
        """When it ended; infinity while it is valid."""
        state = self.state(now_s)
        if state == "valid":
            return math.inf
        return self.revoked_s if state == "revoked" else self.expires_s


class Enrolments(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file. No two entries have the same ID."""

    enrolments: tuple[Enrolment, ...] = ()
    revision: int = 0  # rises with each change
    version: int = 1  # of this format: a program that does not know it does not use the file

    def next_end_s(self, now_s: float) -> float:
        """When the first entry that is valid at `now_s` expires; infinity when none does."""
        ends = (one.expires_s for one in self.enrolments if one.state(now_s) == "valid")
        return min((end_s for end_s in ends if end_s), default=math.inf)

    def rules(self, now_s: float) -> CredentialRules:
        """The rules in force at `now_s`."""
        if not self.enrolments:
            return NO_CREDENTIAL_RULES
        tokens: dict[bytes, str] = {}
        certificates: dict[bytes, str] = {}
        ended: dict[bytes, str] = {}
        for one in self.enrolments:
            digest, state = bytes.fromhex(one.sha256), one.state(now_s)
            if state != "valid":
                ended[digest] = REVOKED if state == "revoked" else EXPIRED
            elif one.kind == "token":
                tokens[digest] = one.tenant
            else:
                certificates[digest] = one.tenant
        return CredentialRules(tokens, certificates, ended)


def credential_id(sha256: str) -> str:
    """The ID of the credential with that digest, in hexadecimal."""
    return sha256[:ID_CHARACTERS]


def of_tenant(enrolments: Iterable[Enrolment], tenant: str) -> list[Enrolment]:
    """Those of `tenant`; all of them when it is ""."""
    return [one for one in enrolments if not tenant or one.tenant == tenant]


def read(state_dir: Path) -> Enrolments:
    """The content of the file, or of its second copy when it is damaged; no entries when neither exists.

    Raises `OSError`, and `DamagedError` when neither can be used.
    """
    return records.read(state_dir / FILE_NAME, parse, MAX_BYTES) or Enrolments()


def parse(raw: bytes) -> Enrolments:
    """The content of the file. Raises `DamagedError`."""
    return records.decode(raw, Enrolments)


class EnrolmentsWatch(RulesWatch[CredentialRules]):
    """The file as one worker uses it."""

    def __init__(self, state_dir: Path) -> None:
        super().__init__(state_dir / FILE_NAME, read, Enrolments())
