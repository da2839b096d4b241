"""The metrics of certificates."""

from __future__ import annotations

from collections import defaultdict

from pdns.config.certificate_files import CertificateDetails
from pdns.supervisor.certificates import ServedCertificate
from pdns.supervisor.http.certificate_metrics import add_certificates
from pdns.telemetry.counter_sums import Series


class FewCertificates:
    """Two certificates with one name, one of them with broken files, and one of another listener."""

    failures = 3

    def __init__(self) -> None:
        self.in_force = [
            served("tls://0.0.0.0:853", "dns.example", 5000.0),
            served("tls://0.0.0.0:853", "dns.example", 4000.0, "key_file: broken"),
            served("https://0.0.0.0:443", "192.0.2.1", 6000.0),
        ]


def served(listener: str, name: str, until_s: float, problem: str = "") -> ServedCertificate:
    names, addresses = ((), (name,)) if name[0].isdigit() else ((name,), ())
    return ServedCertificate(0, listener, CertificateDetails(names, addresses, "RSA 2048", 0.0, until_s, "", 1, "", ""), problem)


def test_the_first_to_expire_counts() -> None:
    """Of certificates with one name, and so do broken files of one of them."""
    values: defaultdict[str, Series] = defaultdict(dict)
    add_certificates(values, FewCertificates())
    tls, https = ("tls://0.0.0.0:853", "dns.example"), ("https://0.0.0.0:443", "192.0.2.1")
    assert values["certificate_expiry_timestamp_seconds"] == {tls: 4000.0, https: 6000.0}
    assert values["certificate_files_usable"] == {tls: 0, https: 1}
    assert values["certificate_reload_failures_total"] == {(): 3}


def test_nothing_without_listeners() -> None:
    """A server without encrypted listeners has no such series."""
    source = FewCertificates()
    source.in_force = []
    values: defaultdict[str, Series] = defaultdict(dict)
    add_certificates(values, source)
    assert not any(values.values())
