"""The credentials that there are, as administrators see them."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from pdns.config.schema import Config
from pdns.enrolment.access import EnrolmentError
from pdns.state.enrolments import CredentialKind, Enrolment, Enrolments, State, credential_id, of_tenant

OF_CONFIGURATION = "configuration"


class CredentialStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One credential. Times are seconds since the epoch; 0: never. `author` is `configuration` for one of `[[tenant]]`."""

    tenant: str
    id: str
    kind: CredentialKind
    state: State
    device: str = ""
    author: str
    added_s: float = 0.0
    expires_s: float = 0.0
    revoked_s: float = 0.0
    revoked_by: str = ""


def credentials_of(config: Config, enrolments: Enrolments, tenant: str, now_s: float) -> list[CredentialStatus]:
    """Those of a tenant, or of all when it is ""; by tenant, the oldest first."""
    found = [*_configured(config, tenant), *(_enrolled(one, now_s) for one in of_tenant(enrolments.enrolments, tenant))]
    return sorted(found, key=lambda one: (one.tenant, one.added_s))


def refuse_configured(config: Config, sha256: str) -> None:
    """Raise `EnrolmentError` if a tenant has that credential in the configuration: whoever enrolled it could revoke it there."""
    if any(sha256 in (one.doh_token_sha256, one.certificate_sha256) for one in config.tenant):
        raise EnrolmentError(f"credential {credential_id(sha256)} is in the configuration: it is not enrolled as well")


def _configured(config: Config, wanted: str) -> Iterator[CredentialStatus]:
    for tenant in config.tenant:
        kinds: dict[CredentialKind, str] = {"token": tenant.doh_token_sha256, "certificate": tenant.certificate_sha256}
        for kind, sha256 in kinds.items():
            if sha256 and wanted in ("", tenant.name):
                yield CredentialStatus(
                    tenant=tenant.name, id=credential_id(sha256), kind=kind, state="valid", author=OF_CONFIGURATION
                )


def _enrolled(one: Enrolment, now_s: float) -> CredentialStatus:
    return CredentialStatus(
        tenant=one.tenant, id=one.id, kind=one.kind, state=one.state(now_s), device=one.device, author=one.author,
        added_s=one.added_s, expires_s=one.expires_s, revoked_s=one.revoked_s, revoked_by=one.revoked_by,
    )  # fmt: skip
