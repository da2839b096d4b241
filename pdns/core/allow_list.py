"""Names that an exception is made of."""

from __future__ import annotations

from collections.abc import Iterable

from pdns.core.listing import Rule
from pdns.wire import names


class AllowList:
    """Names that are excepted: each with everything below it, or (`*.x`) only what is below."""

    def __init__(self, entries: Iterable[str]) -> None:
        self._rules: dict[bytes, Rule] = {}
        for text in entries:
            below = text.startswith("*.")
            name = names.from_text(text[2:] if below else text)
            if not below or name not in self._rules:
                self._rules[name] = Rule.BELOW if below else Rule.SUBTREE

    def __len__(self) -> int:
        return len(self._rules)

    def allows(self, name: bytes) -> bool:
        """Whether `name` is on the list."""
        if not self._rules:
            return False
        return any(
            (rule := self._rules.get(ancestor)) is not None and (rule is Rule.SUBTREE or ancestor != name)
            for ancestor in names.ancestors(name)
        )
