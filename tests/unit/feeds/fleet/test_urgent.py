"""What an urgent document can do on a node: what commands of its publisher can do, and no more."""

from __future__ import annotations

from msgspec.structs import replace

from feeds.commands import MAX_INDICATORS
from feeds.fleet.release import Urgent
from feeds.fleet.urgent import MOST_SWITCHES, overrides_of
from pdns.state.commands import MAX_FOR_S, MAX_REASON_CHARACTERS
from pdns.state.overrides import Disabled, FleetOverrides, Indicator, Paused

ENTRY = Indicator(name="bad.example", action="block", reason="seen", author="alice", added_s=1000.0)
OFF = Disabled(reason="bad list", author="alice", since_s=1000.0, until_s=1000.0 + MAX_FOR_S)
PAUSE = Paused(reason="exam", author="alice", since_s=1000.0, until_s=2000.0)


def test_what_commands_write_is_taken_as_it_is() -> None:
    """Entries, kill switches and pauses of a publisher."""
    entries = (ENTRY, replace(ENTRY, name="*.cdn.example", action="allow", expires_s=5000.0, tenant="north"))
    urgent = Urgent(revision=1, indicators=entries, disabled={"listed": OFF}, paused={"north": PAUSE})
    assert overrides_of(urgent) == FleetOverrides(indicators=entries, disabled={"listed": OFF}, paused={"north": PAUSE})


def test_no_entry_is_about_every_name() -> None:
    """An entry for the root would end all protection, or all names; one that is no name says nothing. The others count."""
    broken = [replace(ENTRY, name=name) for name in (".", "", "*.", "http://x.example/", "x" * 300)]
    assert overrides_of(Urgent(indicators=(*broken, ENTRY))).indicators == (ENTRY,)


def test_all_switches_end() -> None:
    """A list that would be off for ever, or until a time that no calendar has, stays on; so does blocking of a tenant."""
    ends = (1000.0 + 2 * MAX_FOR_S, 1e300)
    assert overrides_of(Urgent(disabled={str(at): replace(OFF, until_s=at) for at in ends})).disabled == {}
    assert overrides_of(Urgent(paused={str(at): replace(PAUSE, until_s=at) for at in ends})).paused == {}
    assert overrides_of(Urgent(paused={"a": replace(PAUSE, since_s=1e300, until_s=1e300)})).paused == {}
    assert overrides_of(Urgent(indicators=(replace(ENTRY, expires_s=1e300), replace(ENTRY, added_s=1e300)))).indicators == ()


def test_texts_may_be_shown() -> None:
    """Nothing in them moves the cursor of a terminal, and none is longer than a command accepts."""
    text = "\x1b[2J\n" + "x" * 10_000
    urgent = Urgent(
        indicators=(replace(ENTRY, reason=text, author=text, tenant=text),),
        disabled={text: replace(OFF, reason=text, author=text)},
        paused={text: replace(PAUSE, reason=text, author=text)},
    )
    found = overrides_of(urgent)
    texts = [*found.disabled, *found.paused]
    told: list[Indicator | Disabled | Paused] = [*found.indicators, *found.disabled.values(), *found.paused.values()]
    for entry in told:
        texts += [entry.reason, entry.author]
    assert len(texts) == 8
    assert all(text.isprintable() and len(text) <= MAX_REASON_CHARACTERS for text in texts)
    assert found.indicators[0].tenant.isprintable()


def test_there_are_not_more_than_a_publisher_may_have() -> None:
    """Workers read them all."""
    many = tuple(replace(ENTRY, name=f"n{at}.example") for at in range(MAX_INDICATORS + 5))
    off = {f"f{at}": OFF for at in range(MOST_SWITCHES + 5)}
    found = overrides_of(Urgent(indicators=many, disabled=off))
    assert (len(found.indicators), len(found.disabled)) == (MAX_INDICATORS, MOST_SWITCHES)
