"""The families of certificates of encrypted listeners: `pdns.telemetry.metrics` has all of them."""

from __future__ import annotations

from typing import Final

from pdns.telemetry.family import Family

CERTIFICATE_FAMILIES: Final = (
    Family(
        "certificate_expiry_timestamp_seconds",
        "gauge",
        "supervisor",
        ("listener", "name"),
        "Time when the certificate in force expires, by listener and by the first name in it.",
    ),
    Family(
        "certificate_files_usable",
        "gauge",
        "supervisor",
        ("listener", "name"),
        "0 while newer files of a certificate cannot be used and the previous one stays in force, else 1.",
    ),
    Family(
        "certificate_reload_failures_total",
        "counter",
        "supervisor",
        (),
        "Versions of the files of listeners that could not be used.",
    ),
)
