"""What a record of a response policy zone answers (draft-vixie-dnsop-dns-rpz, 3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from feeds.formats.actions import MAX_LOCAL_BYTES
from feeds.normalise import Reason
from pdns.config.rdata_text import rdata_of, type_of
from pdns.core.listing import DROP, LOCAL_DATA, NODATA, NXDOMAIN, PASSTHRU, TCP_ONLY, ListedAction
from pdns.errors import InvalidName, InvalidRecord
from pdns.wire import protocol as p
from pdns.wire.names import from_text

PASSTHRU_ACTION: Final = ListedAction(PASSTHRU)
_SPECIAL: Final = {
    b"": ListedAction(NXDOMAIN),
    b"*": ListedAction(NODATA),
    b"rpz-passthru": PASSTHRU_ACTION,
    b"rpz-drop": ListedAction(DROP),
    b"rpz-tcp-only": ListedAction(TCP_ONLY),
}
SPECIAL_TARGETS: Final = frozenset(name for name in _SPECIAL if name.startswith(b"rpz-"))
_RESERVED: Final = b"rpz-"
_NOT_SERVED: Final = frozenset((p.NS, p.SOA))


def action_of(rtype: bytes, words: Sequence[bytes], target: bytes, absolute: Callable[[bytes], bytes]) -> ListedAction | Reason:
    """The action of one record. `target` is that of a CNAME, in lower case and without the last dot; `absolute` likewise makes a
    name of a word.
    """
    if rtype == b"CNAME":
        if not words:
            return Reason.BAD_DATA
        special = _SPECIAL.get(target)
        if special is not None:
            return special
        if target.rpartition(b".")[2].startswith(_RESERVED):
            return Reason.UNSUPPORTED_RULE
    try:
        number = type_of(rtype.decode("ascii"))
        if number in _NOT_SERVED:
            return Reason.UNSUPPORTED_RULE
        rdata = rdata_of(number, [word.decode("utf-8", "surrogateescape") for word in words], lambda text: _wire(text, absolute))
    except InvalidRecord:
        return Reason.BAD_DATA
    return ListedAction(LOCAL_DATA, ((number, (rdata,)),)) if len(rdata) <= MAX_LOCAL_BYTES else Reason.TOO_MANY_ACTIONS


def _wire(text: str, absolute: Callable[[bytes], bytes]) -> bytes:
    try:
        name = absolute(text.encode()).decode()
    except UnicodeError:
        raise InvalidName("not text") from None
    return from_text(name.lower()) if name else b"\0"
