"""The keys of `pdns top`: from the bytes of a terminal to keys, and from a key to the next state of the view."""

from __future__ import annotations

import re
from typing import Final

from pdns.cli.top_panes import PANES
from pdns.cli.top_view import TopState, next_sort, turned_sort

_MOST_FILTER: Final = 60
_SEQUENCES: Final = {
    "[A": "up", "[B": "down", "OA": "up", "OB": "down", "[5~": "page up", "[6~": "page down", "[H": "home", "[F": "end",
    "OH": "home", "OF": "end", "[1~": "home", "[4~": "end", "[7~": "home", "[8~": "end", "[Z": "back tab",
    "[C": "tab", "[D": "back tab", "OC": "tab", "OD": "back tab",
}  # fmt: skip
_PLAIN: Final = {"\t": "tab", "\r": "enter", "\n": "enter", "\x7f": "backspace", "\b": "backspace", "\x15": "clear"}
_KEY: Final = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|O[@-~])|\x1b|.", re.DOTALL)


def keys_of(text: str) -> list[str]:
    """The keys in what a terminal sent: a name for special ones, "escape", or the character. Unknown sequences are left out."""
    found = []
    for key in _KEY.findall(text):
        if key == "\x1b":
            found.append("escape")
        elif key.startswith("\x1b"):
            if key[1:] in _SEQUENCES:
                found.append(_SEQUENCES[key[1:]])
        elif key in _PLAIN:
            found.append(_PLAIN[key])
        elif key.isprintable():
            found.append(key)
    return found


def pressed(state: TopState, key: str, page: int) -> TopState | None:
    """The state after `key`; None to quit. `page`: the rows that fit. The caller bounds `top`."""
    if state.typing:
        return _typed(state, key)
    if state.help:
        return None if key == "q" else state._replace(help=False)
    moves = {"up": -1, "k": -1, "down": 1, "j": 1, "page up": -page, "page down": page}
    if key in moves:
        return state._replace(top=max(0, state.top + moves[key]))
    match key:
        case "q":
            return None
        case "?" | "h":
            return state._replace(help=True)
        case "p" | " ":
            return state._replace(paused=not state.paused)
        case "/":
            return state._replace(typing=True)
        case "escape":
            return state._replace(filter="", top=0)
        case "s":
            return next_sort(state)
        case "S" | "r":
            return turned_sort(state)
        case "tab" | "back tab":
            return _chosen(state, (state.pane + (1 if key == "tab" else -1)) % len(PANES))
        case "home":
            return state._replace(top=0)
        case "end":
            return state._replace(top=2**31)
    if len(key) == 1 and "1" <= key <= str(len(PANES)):
        return _chosen(state, int(key) - 1)
    return state


def _chosen(state: TopState, pane: int) -> TopState:
    return state if pane == state.pane else state._replace(pane=pane, top=0, filter="")


def _typed(state: TopState, key: str) -> TopState:
    match key:
        case "enter":
            return state._replace(typing=False)
        case "escape":
            return state._replace(typing=False, filter="", top=0)
        case "backspace":
            return state._replace(filter=state.filter[:-1], top=0)
        case "clear":
            return state._replace(filter="", top=0)
    if len(key) == 1 and len(state.filter) < _MOST_FILTER:
        return state._replace(filter=state.filter + key, top=0)
    return state
