import asyncio
import socket
from typing import Protocol

from pdns.fast.fast_path import FastPath, PendingQuery
from pdns.net import edge
from pdns.net.udp import UdpListener as Specification

class Datagram(PendingQuery):
    @property
    def started_s(self) -> float: ...
    @property
    def address(self) -> str: ...
    @property
    def port(self) -> int: ...
    def send_cached(self, source: str, now: float) -> None: ...
    def reply(self, wire: bytes) -> None: ...

class Service(edge.MessageHandler, Protocol):
    def on_queries(self, queries: list[Datagram]) -> None: ...

class UdpListener(Specification):
    def __init__(
        self,
        sock: socket.socket,
        service: edge.MessageHandler,
        loop: asyncio.AbstractEventLoop,
        stats: edge.EdgeStats,
        fast_path: FastPath | None = None,
    ) -> None: ...
