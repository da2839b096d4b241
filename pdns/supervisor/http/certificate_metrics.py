"""The metrics of certificates of encrypted listeners."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

from pdns.supervisor.certificates import ServedCertificate
from pdns.telemetry.counter_sums import Series


class CertificateSource(Protocol):
    """The part of `pdns.supervisor.certificates.Certificates` that is needed here."""

    @property
    def failures(self) -> int: ...
    @property
    def in_force(self) -> Sequence[ServedCertificate]: ...


def add_certificates(values: defaultdict[str, Series], source: CertificateSource) -> None:
    """Adds nothing for a server without encrypted listeners. Of certificates with one name, the first to expire counts."""
    expiry, usable = values["certificate_expiry_timestamp_seconds"], values["certificate_files_usable"]
    for one in source.in_force:
        labels = one.listener, one.name
        expiry[labels] = min(expiry.get(labels, one.details.not_after_s), one.details.not_after_s)
        usable[labels] = min(usable.get(labels, 1), int(not one.problem))
    if source.in_force:
        values["certificate_reload_failures_total"][()] = source.failures
