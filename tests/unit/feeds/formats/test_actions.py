"""Actions by number: each once, within bounds, and what they stand for whatever is added."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from feeds.formats.actions import MAX_CLIENTS, MAX_LIST_ACTIONS, ListedActions, joined_data
from feeds.normalise import Reason
from pdns.core.listing import DROP, LOCAL_DATA, NXDOMAIN, ListedAction
from tests.effort import examples


def address(number: int) -> ListedAction:
    return ListedAction(LOCAL_DATA, ((1, (number.to_bytes(4),)),))


ACTIONS = st.one_of(st.sampled_from([ListedAction(NXDOMAIN), ListedAction(DROP)]), st.integers(0, 5).map(address))


@examples(200)
@given(st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.booleans(), ACTIONS), max_size=20))
def test_every_name_has_what_was_added(added: list[tuple[bytes, bool, ListedAction]]) -> None:
    """Numbers that are free again are used again, and no name gets the action of another."""
    actions = ListedActions()
    expected: dict[tuple[bytes, bool], ListedAction] = {}
    for key, below, action in added:
        before = expected.get((key, below))
        joined = action if before in (None, action) else joined_data(before, action)
        refused = actions.add_name(key, action, below=below)
        assert refused == (joined if isinstance(joined, Reason) else None)
        if not isinstance(joined, Reason):
            expected[key, below] = joined
    table = actions.table
    for (key, below), action in expected.items():
        assert table[(actions.of_names[key] >> 16 * below & 0xFFFF) - 1] == action
    assert len(table) <= len(expected) + 1


def test_data_that_is_there_already_takes_no_number() -> None:
    """A name that is given the same data again and again does not keep the numbers of what it had before."""
    actions = ListedActions()
    for number in (1, 2, 2, 1, 3, 3):
        assert actions.add_name(b"a", address(number), below=False) is None
    for number in (4, 5):
        assert actions.add_name(b"b", address(number), below=False) is None
    assert len(actions.table) <= 3


def test_a_list_has_so_many_actions_and_no_more() -> None:
    """Beyond the bound a record is refused; one with an action that is known, or that takes the place of another, is not."""
    actions = ListedActions()
    for number in range(MAX_LIST_ACTIONS):
        assert actions.add_name(b"%d" % number, address(number), below=False) is None
    assert actions.add_name(b"x", address(MAX_LIST_ACTIONS), below=False) is Reason.TOO_MANY_ACTIONS
    assert b"x" not in actions.of_names
    assert actions.add_name(b"x", address(7), below=False) is None
    assert actions.add_name(b"0", address(1 << 31), below=False) is None
    assert len(set(actions.table)) == MAX_LIST_ACTIONS


def test_a_list_has_so_many_clients_and_no_more() -> None:
    """One more is refused."""
    actions = ListedActions()
    for number in range(MAX_CLIENTS):
        assert actions.add_client(number.to_bytes(4), ListedAction(DROP)) is None
    assert actions.add_client(b"other", ListedAction(DROP)) is Reason.TOO_MANY_ACTIONS


def test_parts_of_a_list_are_joined() -> None:
    """What a later file says of a name that cannot stand beside an earlier one stays out."""
    one, other = ListedActions(), ListedActions()
    one.add_name(b"a", address(1), below=False)
    other.add_name(b"a", address(2), below=False)
    other.add_name(b"b", ListedAction(NXDOMAIN), below=True)
    other.add_network(b"n", ListedAction(DROP))
    other.add_client(b"c", ListedAction(DROP))
    one.add_all(other)
    both = ListedActions()
    both.add_name(b"a", ListedAction(LOCAL_DATA, ((1, (b"\0\0\0\1", b"\0\0\0\2")),)), below=False)
    both.add_name(b"b", ListedAction(NXDOMAIN), below=True)
    both.add_network(b"n", ListedAction(DROP))
    both.add_client(b"c", ListedAction(DROP))
    assert one == both
