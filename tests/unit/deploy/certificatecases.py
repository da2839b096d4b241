"""Cases of the alerts about certificates (`tests.unit.deploy.alertcases`). Time begins at 0."""

from __future__ import annotations

from typing import Final

from tests.unit.deploy.alertcase import AlertCase, Series

_LABELS: Final = {"listener": "tls://0.0.0.0:853", "name": "dns.example"}
_NAMED: Final = '{listener="tls://0.0.0.0:853", name="dns.example"}'
_WHOSE: Final = "of dns.example (tls://0.0.0.0:853)"


def _days(days: float) -> Series:
    return {f"pdns_certificate_expiry_timestamp_seconds{_NAMED}": f"{days * 86400:.0f}x120"}


CERTIFICATES: Final = (
    AlertCase(
        "PdnsCertificateNotRenewed", "100m", _days(20), (_days(22), _days(7)),
        f"the certificate {_WHOSE} expires in 19.93 days", _LABELS,
    ),
    AlertCase(
        "PdnsCertificateExpiresSoon", "72m", _days(6.05), (_days(7.1), _days(1)),
        f"the certificate {_WHOSE} expires in 6 days: renew it now", _LABELS,
    ),
    AlertCase(
        "PdnsCertificateExpires", "60m", _days(0.5), (_days(1.1),),
        f"the certificate {_WHOSE} expires in 11 hours, or has expired: encrypted clients refuse it", _LABELS,
    ),
    AlertCase(
        "PdnsCertificateRefused", "10m", {f"pdns_certificate_files_usable{_NAMED}": "0x20"},
        ({f"pdns_certificate_files_usable{_NAMED}": "0 0 1x20"},),
        f"the new files of the certificate {_WHOSE} cannot be used; /readyz says why", _LABELS,
    ),
)  # fmt: skip
