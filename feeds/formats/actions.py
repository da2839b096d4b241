"""The actions of a list that says how what it lists is answered: each different one once, by number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from feeds.normalise import Reason
from pdns.core.listing import LOCAL_DATA, MAX_ACTIONS, ListedAction
from pdns.wire import protocol as p

MAX_LIST_ACTIONS: Final = 4096  # different ones of a list
MAX_LOCAL_BYTES: Final = 4096  # of the RDATA of one name
MAX_CLIENTS: Final = 10_000  # networks of clients of a list
NO_CLIENTS: Final[Mapping[bytes, int]] = {}
_BELOW_SHIFT: Final = 16


class ListedActions:
    """What a list answers, by key. The number of an action for a name, and that for what is below it, are kept in one integer."""

    def __init__(self, table: Sequence[ListedAction] = (), clients: Mapping[bytes, int] = NO_CLIENTS) -> None:
        """`table` and `clients` as an earlier one had them: what is there is not added to."""
        self.of_names: dict[bytes, int] = {}
        self.of_networks: dict[bytes, int] = {}
        self.of_clients = dict(clients)
        self._actions: list[ListedAction | None] = [None, *table]  # None: its number is free
        self._numbers = {action: number for number, action in enumerate(table, 1)}
        self._uses: Counter[int] = Counter()
        self._free: list[int] = []

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ListedActions) and self._by_key() == other._by_key()

    __hash__ = None  # type: ignore[assignment]

    def add_name(self, key: bytes, action: ListedAction, *, below: bool) -> Reason | None:
        """Answer a name, or what is below it, with `action`, or with its data as well. Returns why it cannot be."""
        said = self.of_names.get(key, 0)
        shift = _BELOW_SHIFT * below
        number = self._put(said >> shift & MAX_ACTIONS, action)
        if isinstance(number, Reason):
            return number
        self.of_names[key] = said & MAX_ACTIONS << _BELOW_SHIFT - shift | number << shift
        return None

    def add_network(self, key: bytes, action: ListedAction) -> Reason | None:
        """Likewise an address in answers."""
        return self._add(self.of_networks, key, action)

    def add_client(self, key: bytes, action: ListedAction) -> Reason | None:
        """Likewise a client."""
        if len(self.of_clients) >= MAX_CLIENTS and key not in self.of_clients:
            return Reason.TOO_MANY_ACTIONS
        return self._add(self.of_clients, key, action)

    def add_all(self, more: ListedActions) -> None:
        """Add what another part of the list answers; what cannot stand beside what is here stays out."""
        table = more.table
        for key, said in more.of_names.items():
            for below, number in ((False, said & MAX_ACTIONS), (True, said >> _BELOW_SHIFT)):
                if number:
                    self.add_name(key, table[number - 1], below=below)
        for key, number in more.of_networks.items():
            self.add_network(key, table[number - 1])
        for key, number in more.of_clients.items():
            self.add_client(key, table[number - 1])

    @property
    def table(self) -> list[ListedAction]:
        """What the numbers stand for, from 1 on. A number that nothing has any more stands for another action."""
        some = next(iter(self._numbers), None)
        return [known for action in self._actions[1:] if (known := action or some) is not None]

    def _by_key(self) -> tuple[object, ...]:
        at = self._actions
        names = {key: (at[said & MAX_ACTIONS], at[said >> _BELOW_SHIFT]) for key, said in self.of_names.items()}
        return names, *({key: at[said] for key, said in of.items()} for of in (self.of_networks, self.of_clients))

    def _add(self, of: dict[bytes, int], key: bytes, action: ListedAction) -> Reason | None:
        number = self._put(of.get(key, 0), action)
        if isinstance(number, Reason):
            return number
        of[key] = number
        return None

    def _put(self, before: int, action: ListedAction) -> int | Reason:
        """The number of `action`, joined with that of number `before`."""
        known = self._actions[before]
        if known == action:
            return before
        joined = action if known is None else joined_data(known, action)
        if isinstance(joined, Reason):
            return joined
        number = self._numbers.get(joined, 0)
        if number and number == before:
            return before
        if not number:
            if len(self._numbers) - (self._uses[before] == 1) >= MAX_LIST_ACTIONS:
                return Reason.TOO_MANY_ACTIONS
            number = self._free.pop() if self._free else len(self._actions)
            if number == len(self._actions):
                self._actions.append(None)
            self._actions[number] = joined
            self._numbers[joined] = number
        self._uses[number] += 1
        if known is not None:
            self._leave(before, known)
        return number

    def _leave(self, number: int, action: ListedAction) -> None:
        self._uses[number] -= 1
        if not self._uses[number]:
            del self._numbers[action]
            self._actions[number] = None
            self._free.append(number)


def joined_data(known: ListedAction, more: ListedAction) -> ListedAction | Reason:
    """The local data of both; the reason why they cannot stand beside each other (RFC 1034, 3.6.2)."""
    if known.kind != LOCAL_DATA or more.kind != LOCAL_DATA or known.rdatas(p.CNAME) or more.rdatas(p.CNAME):
        return Reason.CNAME_AND_OTHER
    data = dict(known.data)
    for rtype, rdatas in more.data:
        data[rtype] = tuple(dict.fromkeys((*data.get(rtype, ()), *rdatas)))
    if sum(len(rdata) for rdatas in data.values() for rdata in rdatas) > MAX_LOCAL_BYTES:
        return Reason.TOO_MANY_ACTIONS
    return ListedAction(LOCAL_DATA, tuple(sorted(data.items())))
