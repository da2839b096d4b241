"""Commands as files say them to the feeds process."""

from __future__ import annotations

import msgspec

from pdns.state.commands import Command


def test_a_command_says_no_more_than_it_must() -> None:
    """During an upgrade the feeds process is of an earlier version than `pdns`, and refuses fields that it does not know."""
    said = msgspec.json.decode(msgspec.json.encode(Command(command="hold", user="admin", feed="listed")))
    assert said.keys() == {"command", "user", "feed"}
