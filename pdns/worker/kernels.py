"""The one place that imports the compiled kernels."""

from __future__ import annotations

from typing import Final

from pdns.errors import PdnsError
from pdns.fast.asked import AskedNames
from pdns.fast.blocking import Blocker
from pdns.fast.cache import AnswerCache
from pdns.fast.event_writer import EventWriter
from pdns.fast.fast_forward import FastForward
from pdns.fast.fast_path import FastPath
from pdns.fast.in_flight import InFlight
from pdns.fast.query_tap import QueryTap
from pdns.fast.tunnels import TunnelMeter
from pdns.fast.udp import UdpListener
from pdns.fast.upstream import SocketSet, UdpSocket
from pdns.net.encrypted import EncryptedKernel
from pdns.upstream.kernel import UdpKernel
from pdns.worker.parts import Kernels


def encrypted_kernel() -> EncryptedKernel:
    """What serves encrypted connections, imported when it is first needed. Raises `PdnsError` that says what to install."""
    try:
        from pdns.fast.https import HttpsSet  # noqa: PLC0415 (needs OpenSSL and nghttp2, which not every machine has)
        from pdns.fast.tls import TlsContext  # noqa: PLC0415
    except ImportError as error:
        raise PdnsError(
            f"encrypted listeners need OpenSSL 3 and nghttp2: {error}. Debian, Ubuntu: apt install libssl3 libnghttp2-14"
        ) from None
    return EncryptedKernel(TlsContext, HttpsSet)


COMPILED: Final = Kernels(
    cache=AnswerCache,
    in_flight=InFlight,
    blocker=Blocker,
    tunnels=TunnelMeter,
    udp_listener=UdpListener,
    upstream=UdpKernel(UdpSocket, SocketSet),
    fast_path=FastPath,
    fast_forward=FastForward,
    asked_names=AskedNames,
    event_writer=EventWriter,
    query_tap=QueryTap,
)
