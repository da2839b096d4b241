"""The listening sockets. The supervisor owns them, so queries wait in the kernel while a worker is replaced.

UDP: a group with one socket for each worker; the kernel steers queries to them by name. A group is opened and closed as a whole,
because the steering program counts the sockets in the order of binding.

TCP: one listening socket that all workers accept from. A worker that dies or hangs delays no connection; with one socket each,
the connections in its queue would wait for its replacement.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from pdns.config.addresses import Endpoint, parse_endpoint
from pdns.errors import PdnsError
from pdns.ipc.messages import MAX_LISTENERS, Listener
from pdns.net.sockets import bind_tcp, bind_udp, has_interface, kernel_drops
from pdns.net.steering import new_key, steer

_TRIES: Final = 20

_log = logging.getLogger(__name__)


class Group(NamedTuple):
    """One configured endpoint: UDP and TCP, on the same port."""

    endpoint: Endpoint  # as bound
    udp: tuple[socket.socket, ...]  # in the order of binding; one for each worker
    tcp: socket.socket

    def close(self) -> None:
        for sock in self.udp:
            sock.close()
        self.tcp.close()


class ListenerSet:
    """The bound sockets, by their spelling in the configuration."""

    def __init__(self, workers: int = 1, steering_key: bytes = b"") -> None:
        """Sets with the same `steering_key` steer names alike. Without one, a random key is used."""
        self.workers = workers
        self.waiting: list[Endpoint] = []  # not bound: the interface that they name does not exist
        self._came: set[Endpoint] = set()
        self._steering_key = steering_key or new_key()
        self._groups: dict[str, Group] = {}
        self._drops: dict[socket.socket, int] = {}  # as last read

    def __iter__(self) -> Iterator[Group]:
        return iter(self._groups.values())

    def changed_to(self, endpoints: Iterable[str]) -> ListenerSet:
        """A set for `endpoints`: sockets of this set are shared, the others are newly bound.

        An endpoint whose interface does not exist is left `waiting`; call again when `interface_came`.

        Then call `close_but(kept)` on the one of the two sets that is not kept. Raises `PdnsError`, with nothing changed.
        """
        wanted = list(dict.fromkeys(endpoints))
        if 2 * len(wanted) > MAX_LISTENERS:
            raise PdnsError(
                f"server.listen: at most {MAX_LISTENERS // 2} addresses; a wildcard such as 0.0.0.0:53 stands for all"
            )
        changed = ListenerSet(self.workers, self._steering_key)
        changed._drops = self._drops
        ports = {group.endpoint.port for group in self}
        respelt = {group.endpoint: group for text, group in self._groups.items() if text not in wanted}
        try:
            for text in wanted:
                endpoint = parse_endpoint(text)
                kept = self._groups.get(text) or respelt.get(endpoint)
                if kept is None and not has_interface(endpoint.host):
                    changed.waiting.append(endpoint)
                    continue
                changed._groups[text] = kept or _bind(endpoint, self.workers, self._steering_key, ports)
        except BaseException:
            changed.close_but(self)
            raise
        return changed

    @property
    def endpoints(self) -> list[Endpoint]:
        """All bound endpoints, and those that are waiting."""
        return [*(group.endpoint for group in self), *self.waiting]

    def interface_came(self) -> bool:
        """Whether the interface of a waiting endpoint has appeared since the last call, so that a failing bind is not retried
        every second.
        """
        before, self._came = self._came, {endpoint for endpoint in self.waiting if has_interface(endpoint.host)}
        return not self._came <= before

    def close_but(self, kept: ListenerSet) -> None:
        """Close every socket that `kept` does not share."""
        shared = {group.tcp for group in kept}
        for group in self:
            if group.tcp not in shared:
                for sock in group.udp:
                    self._drops.pop(sock, None)
                group.close()
        self._groups = {}

    def listeners(self, worker: int) -> tuple[tuple[Listener, ...], list[int]]:
        """The description of the listeners for a worker, and their descriptors in the same order."""
        listeners: list[Listener] = []
        fds: list[int] = []
        for group in self:
            listeners += (Listener("udp", str(group.endpoint)), Listener("tcp", str(group.endpoint)))
            fds += (group.udp[worker].fileno(), group.tcp.fileno())
        return tuple(listeners), fds

    def udp_of(self, worker: int) -> tuple[tuple[Listener, ...], list[int]]:
        """The same for the sockets that only that worker reads."""
        return tuple(Listener("udp", str(group.endpoint)) for group in self), [group.udp[worker].fileno() for group in self]

    def new_drops(self) -> int:
        """How many datagrams the kernel has dropped since the last call because they were not read in time."""
        total = 0
        for group in self:
            for sock in group.udp:
                before, self._drops[sock] = self._drops.get(sock, 0), kernel_drops(sock)
                total += self._drops[sock] - before
        return total


def _bind(endpoint: Endpoint, workers: int, key: bytes, own_ports: set[int]) -> Group:
    if endpoint.port:
        return _bind_group(endpoint, workers, key, join=False, own_ports=own_ports)
    for _ in range(_TRIES):  # the kernel chooses for TCP; UDP may have that port in use
        tcp = bind_tcp(endpoint)
        chosen = endpoint._replace(port=tcp.getsockname()[1])
        try:
            return Group(chosen, _bind_udp(chosen, workers, key, join=False), tcp)
        except PdnsError as error:
            tcp.close()
            failure = error
    raise failure


def _bind_group(endpoint: Endpoint, workers: int, key: bytes, *, join: bool, own_ports: set[int]) -> Group:
    try:
        udp = _bind_udp(endpoint, workers, key, join=join)
        try:
            return Group(endpoint, udp, bind_tcp(endpoint, join=join))
        except BaseException:
            _close(udp)
            raise
    except PdnsError:
        # From 0.0.0.0:53 to 192.0.2.1:53, or back, without a gap: both are bound for a moment, and both are ours.
        if join or endpoint.port not in own_ports:
            raise
    return _bind_group(endpoint, workers, key, join=True, own_ports=own_ports)


def _bind_udp(endpoint: Endpoint, workers: int, key: bytes, *, join: bool) -> tuple[socket.socket, ...]:
    sockets: list[socket.socket] = []
    try:
        for _ in range(workers):
            sockets.append(bind_udp(endpoint, join=join or bool(sockets)))
    except BaseException:
        _close(sockets)
        raise
    if workers > 1:
        try:
            steer(sockets[0], workers, key)
        except OSError as error:  # then the kernel goes by the client's address: every worker caches what it is asked
            _log.warning("%s (UDP): queries are not steered by name: %s", endpoint, error.strerror)
    return tuple(sockets)


def _close(sockets: Iterable[socket.socket]) -> None:
    for sock in sockets:
        sock.close()
