"""What messages are on the wire: processes of two versions of the program talk to each other."""

from __future__ import annotations

import msgspec
import pytest

from pdns.ipc.messages import Cover, ListeningSocket
from pdns.wire.transport import Transport

UDP, TCP = b'{"transport":"udp","address":"127.0.0.1:53"}', b'{"transport":"tcp","address":"[::]:53"}'
WIRE = b'{"type":"Cover","worker":2,"listeners":[%b,%b]}' % (UDP, TCP)


def test_a_transport_is_its_name_on_the_wire() -> None:
    """Earlier versions send and expect the text "udp" or "tcp"."""
    cover = Cover(2, (ListeningSocket(Transport.UDP, "127.0.0.1:53"), ListeningSocket(Transport.TCP, "[::]:53")))
    assert msgspec.json.encode(cover) == WIRE
    read = msgspec.json.decode(WIRE, type=Cover)
    assert read == cover
    assert [type(one.transport) for one in read.listeners] == [Transport, Transport]


def test_a_transport_that_is_not_known_is_refused() -> None:
    """A worker does not open what a later version sends without knowing what arrives there."""
    with pytest.raises(msgspec.ValidationError, match="Invalid enum value"):
        msgspec.json.decode(WIRE.replace(b'"udp"', b'"dnscrypt"'), type=Cover)
