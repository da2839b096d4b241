import asyncio

from pdns.upstream import udp
from pdns.upstream.exchange import Events
from pdns.upstream.server import UpstreamServer

class SocketSet:
    server: UpstreamServer
    in_fast_forward: int
    tick: int
    def __init__(self, server: UpstreamServer, loop: asyncio.AbstractEventLoop, events: Events) -> None: ...
    def close(self) -> None: ...
    def punt(self, now: float) -> None: ...

class UdpSocket(udp.UdpSocket): ...
