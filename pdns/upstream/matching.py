"""Does this message answer that query? What does not (RFC 5452, 9.1) ends no wait.

That it came from the address and port that were asked is the socket's promise: sockets are connected.
"""

from __future__ import annotations

import enum

from pdns.core.chain import substitution_is_too_long
from pdns.errors import WireError
from pdns.wire import protocol as p
from pdns.wire.message import Message, parse_message

MAX_UDP_BYTES = 1232  # what our queries allow; a longer one may have come in fragments, which can be forged one by one


class Mismatch(enum.Enum):
    """Why a message is no answer."""

    UNMATCHED = "unmatched"  # of another question, id, opcode, or no response at all
    MALFORMED = "malformed"  # not a DNS message, or one of another question
    UNUSABLE = "unusable"  # of this question, in its very case where that must match, but not a sound message
    OTHER_CASE = "other case"  # right in everything but the case of the question, which had to match
    TRUNCATED = "truncated"  # of this question, but TC=1 or longer than allowed: to be asked over TCP
    BARE = "bare"  # FORMERR or NOTIMP with nothing but a header: perhaps from a server that knows no EDNS
    NO_QUESTION = "no question"  # right id and port, and no question to match: guessed more easily than an answer


class ReplyQuality(enum.Enum):
    """What an answer is worth. The value is the name it is counted under."""

    OK = "ok"
    SERVFAIL = "servfail"
    REFUSED = "refused"
    FORMERR = "formerr"
    NOTIMP = "notimp"
    ERROR = "error"  # another rcode, or a referral: this upstream does not recurse for us


def match(wire: bytes, query_id: int, question: bytes, *, exact: bool, max_bytes: int = MAX_UDP_BYTES) -> Message | Mismatch:
    """The response in `wire` if it answers the query with that id and question section, else why not.

    `question` is the section as sent; `exact` demands its very case.
    """
    if len(wire) < p.HEADER_BYTES:
        return Mismatch.MALFORMED
    if wire[0] << 8 | wire[1] != query_id or wire[2] & 0xF8 != 0x80:
        return Mismatch.UNMATCHED
    questions = wire[4] << 8 | wire[5]
    if questions == 0:
        if len(wire) == p.HEADER_BYTES and wire[6:] == b"\0\0\0\0\0\0" and wire[3] & p.RCODE_MASK in (p.FORMERR, p.NOTIMP):
            return Mismatch.BARE
        return Mismatch.NO_QUESTION
    end = p.HEADER_BYTES + len(question)
    received = wire[p.HEADER_BYTES : end]
    same_case = received == question
    if not same_case and (received[:-4].lower() != question[:-4].lower() or received[-4:] != question[-4:]):
        return Mismatch.UNMATCHED if questions == 1 else Mismatch.MALFORMED
    if wire[2] & 0x02 or len(wire) > max_bytes:
        # not parsed: some cut a record in half, and none of its records is used
        return Mismatch.TRUNCATED if same_case or not exact else Mismatch.OTHER_CASE
    try:
        message = parse_message(wire)
    except WireError:
        return Mismatch.UNUSABLE if same_case or not exact else Mismatch.MALFORMED
    return message if same_case or not exact else Mismatch.OTHER_CASE


def quality_of(message: Message) -> ReplyQuality:
    """What `message`, which matched, is worth."""
    match message.rcode:
        case p.NXDOMAIN:
            return ReplyQuality.OK
        case p.NOERROR:
            return ReplyQuality.ERROR if _is_referral(message) else ReplyQuality.OK
        case p.YXDOMAIN:  # a result like NXDOMAIN, where a DNAME shows it (RFC 6672, 2.2)
            return ReplyQuality.OK if substitution_is_too_long(message) else ReplyQuality.ERROR
        case p.SERVFAIL:
            return ReplyQuality.SERVFAIL
        case p.REFUSED:
            return ReplyQuality.REFUSED
        case p.FORMERR:
            return ReplyQuality.FORMERR
        case p.NOTIMP:
            return ReplyQuality.NOTIMP
        case _:
            return ReplyQuality.ERROR


def refuses_edns(message: Message) -> bool:
    """Whether `message`, the response to a query with EDNS, says that it should come without (RFC 6891, 7)."""
    return message.rcode == p.BADVERS or (message.rcode in (p.FORMERR, p.NOTIMP) and not message.edns)


def _is_referral(message: Message) -> bool:
    if message.answer or message.flags & (p.AA | p.RA) or not message.authority:  # who recurses (RA) has no answer: NODATA
        return False
    types = {record.rtype for record in message.authority}
    return p.NS in types and p.SOA not in types
