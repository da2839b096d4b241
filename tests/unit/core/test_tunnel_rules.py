"""What counts as a tunnel follows from the configuration; the names allowed by default each have a source."""

from __future__ import annotations

import pytest

from pdns.config.event_schema import EventSection
from pdns.config.findings_schema import FindingsSection
from pdns.config.policy_schema import Tenant
from pdns.config.schema import Config, Server
from pdns.core.tunnel_rules import ALLOWED, tunnel_rules
from pdns.wire.names import from_text


def test_each_allowed_name_has_a_source() -> None:
    """One name a line, then why."""
    lines = [line for line in ALLOWED.splitlines() if line and not line.startswith("#")]
    assert len(lines) == len({line.split()[0] for line in lines})
    for line in lines:
        assert from_text(line.split()[0])
        assert len(line.split()) > 1


def test_names_of_the_configuration_are_added() -> None:
    """They are allowed as those by default are, at any depth."""
    rules = tunnel_rules(Config(findings=FindingsSection(tunnel_bytes_per_minute=7, tunnel_allow=("a.b.example",))))
    assert {from_text("a.b.example"), from_text("in-addr.arpa")} <= rules.allow
    assert {from_text("b.example"), from_text("mcafee.com")} <= rules.partly_allowed
    assert (rules.bytes_per_minute, rules.workers, rules.keep_clients) == (7, 1, False)


def test_without_events_nothing_is_looked_for() -> None:
    """Findings have nowhere to go then."""
    assert tunnel_rules(Config(events=EventSection(enabled=False))).bytes_per_minute == 0


@pytest.mark.parametrize(("default", "own", "keep"), [("none", "", False), ("none", "full", True), ("hash", "none", True)])
def test_clients_are_kept_if_anybody_may_see_them(default: str, own: str, keep: bool) -> None:
    """Else the meter holds no address."""
    tenant = Tenant(name="north", networks=("192.0.2.0/24",), events_clients=own)  # type: ignore[arg-type]
    config = Config(events=EventSection(clients=default), tenant=(tenant,), server=Server(workers=4))  # type: ignore[arg-type]
    assert tunnel_rules(config).keep_clients is keep
    assert tunnel_rules(config).workers == 4
