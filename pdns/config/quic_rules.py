"""Rules for listeners of transport `quic` and `h3`: what the library for QUIC must be there for, and what it cannot do."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from pdns.config.listener_schema import ListenerSection
from pdns.config.shape import Report

OVER_QUIC: Final = ("quic", "h3")
_LIBRARY: Final = "aioquic"


def check_quic(listener: ListenerSection, at: str, report: Report) -> None:
    """Report what keeps `listener` from being served over QUIC."""
    if listener.transport not in OVER_QUIC:
        return
    if find_spec(_LIBRARY) is None:
        reason = f"\"{listener.transport}\" needs a library that is not installed: pip install 'protective-dns[quic]'"
        report.add(f"{at}.transport", reason)
    if listener.client_certificate != "off":
        reason = f'not with transport = "{listener.transport}": the library for QUIC does not verify them; use "tls" or "https"'
        report.add(f"{at}.client_certificate", reason)
