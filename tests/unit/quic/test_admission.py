"""Who may open a connection: rates, handshakes at a time, proof of addresses, bans."""

from __future__ import annotations

from pdns.quic.admission import BAN_AFTER, BAN_S, Admission, AdmissionControl, AdmissionLimits

LIMITS = AdmissionLimits(max_handshakes=40, new_per_client_per_s=2.0)


def test_a_burst_passes_and_then_the_rate() -> None:
    """Five seconds' worth at once; beyond it an address must be proven, and is then refused until there is room again."""
    control = AdmissionControl(LIMITS)
    assert [control.ask("a", 0, 0.0, proven=True) for _ in range(10)] == [Admission.ACCEPT] * 10
    assert control.ask("a", 0, 0.0, proven=False) is Admission.RETRY
    assert control.ask("a", 0, 0.0, proven=True) is Admission.TOO_FAST
    assert control.ask("b", 0, 0.0, proven=True) is Admission.ACCEPT
    assert control.ask("a", 0, 0.6, proven=True) is Admission.ACCEPT


def test_whoever_does_not_stop_is_banned() -> None:
    """After so many refusals nothing of the client is looked at for a while; then it may come again."""
    control = AdmissionControl(LIMITS)
    asked = [control.ask("a", 0, 0.0, proven=True) for _ in range(10 + BAN_AFTER)]
    assert asked[10:] == [Admission.TOO_FAST] * BAN_AFTER
    assert control.ask("a", 0, BAN_S - 0.1, proven=True) is Admission.BANNED
    assert control.ask("a", 0, BAN_S + 0.1, proven=True) is Admission.ACCEPT


def test_an_address_that_is_not_proven_is_never_banned() -> None:
    """Anyone can send in the name of another."""
    control = AdmissionControl(LIMITS)
    for _ in range(1000):
        control.ask("victim", 0, 0.0, proven=False)
    assert control.ask("victim", 0, 1.0, proven=True) is Admission.ACCEPT


def test_many_handshakes_need_proof_and_too_many_are_refused() -> None:
    """From a quarter of the most on, clients prove their address first."""
    control = AdmissionControl(LIMITS)
    assert control.ask("a", 9, 0.0, proven=False) is Admission.ACCEPT
    assert control.ask("b", 10, 0.0, proven=False) is Admission.RETRY
    assert control.ask("b", 10, 0.0, proven=True) is Admission.ACCEPT
    assert control.ask("b", 40, 0.0, proven=True) is Admission.TOO_MANY_HANDSHAKES


def test_memory_is_bounded() -> None:
    """A flood from many addresses is forgotten from its start."""
    control = AdmissionControl(LIMITS)
    for number in range(20000):
        control.ask(number, 0, 0.0, proven=False)
    assert len(control._clients) <= 8192
