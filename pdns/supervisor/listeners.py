"""The listening sockets. The supervisor owns them, so queries wait in the kernel while a worker is replaced.

UDP: a group with one socket for each worker; the kernel steers queries to them by name. A group is opened and closed as a whole,
because the steering program counts the sockets in the order of binding.

TCP: one listening socket that all workers accept from. A worker that dies or hangs delays no connection; with one socket each,
the connections in its queue would wait for its replacement.

Encrypted listeners over TCP have one such socket for each address. Those over UDP belong to the process that serves QUIC.

Sockets that systemd opened are used instead of own ones: one TCP socket, and any number of UDP sockets, which stay a group.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from pdns.config.addresses import Endpoint, parse_endpoint
from pdns.errors import PdnsError
from pdns.ipc.messages import MAX_LISTENERS, ListeningSocket
from pdns.net.listener import Listener, close_sockets, steer
from pdns.net.sockets import has_interface, kernel_drops
from pdns.net.steering import Steering, new_key
from pdns.supervisor.encrypted_endpoints import EncryptedEndpoint
from pdns.supervisor.inherited_sockets import InheritedSockets
from pdns.wire.transport import Transport

_TRIES: Final = 20

_log = logging.getLogger(__name__)


class ListenerGroup(NamedTuple):
    """One configured endpoint: its listeners, on the same port."""

    endpoint: Endpoint  # as bound
    sockets: dict[Listener, tuple[socket.socket, ...]]  # in the order of binding; one for each worker, or one for all
    section: int = -1  # index in `config.listener`; -1: `server.listen`

    @property
    def datagram_sockets(self) -> list[socket.socket]:
        return [sock for listener, sockets in self.sockets.items() if not listener.transport.is_stream for sock in sockets]

    def for_worker(self, worker: int) -> Iterator[tuple[ListeningSocket, int]]:
        """The description of each listener for a worker, and the descriptor that the worker reads."""
        for listener, sockets in self.sockets.items():
            yield ListeningSocket(listener.transport, str(self.endpoint), self.section), sockets[worker % len(sockets)].fileno()

    @property
    def all_sockets(self) -> list[socket.socket]:
        return [sock for sockets in self.sockets.values() for sock in sockets]


class ListenerSet:
    """The bound sockets, by their spelling in the configuration."""

    def __init__(self, workers: int = 1, steering_key: bytes = b"", inherited: InheritedSockets | None = None) -> None:
        """Sets with the same `steering_key` steer names alike. Without one, a random key is used. `inherited` sockets are used
        for the endpoints that they are bound to.
        """
        self.workers = workers
        self._inherited = inherited or InheritedSockets()
        self.waiting: list[Endpoint] = []  # not bound: the interface that they name does not exist
        self._came: set[Endpoint] = set()
        self._steering_key = steering_key or new_key()
        self._proxied = False
        self._groups: dict[str, ListenerGroup] = {}
        self._drops: dict[socket.socket, int] = {}  # as last read

    def __iter__(self) -> Iterator[ListenerGroup]:
        return iter(self._groups.values())

    def changed_to(self, endpoints: Iterable[str], encrypted: Sequence[EncryptedEndpoint] = ()) -> ListenerSet:
        """A set for `endpoints` and `encrypted` ones: sockets of this set are shared, the others are newly bound.

        An endpoint whose interface does not exist is left `waiting`; call again when `interface_came`.

        Then call `close_but(kept)` on the one of the two sets that is not kept. Raises `PdnsError`, with nothing changed.
        """
        wanted = list(dict.fromkeys(endpoints))
        if 2 * len(wanted) + len(encrypted) > MAX_LISTENERS:
            most, key = (MAX_LISTENERS - len(encrypted)) // 2, "server.listen"
            raise PdnsError(f"{key}: at most {max(0, most)} addresses; a wildcard such as 0.0.0.0:53 stands for all")
        changed = ListenerSet(self.workers, self._steering_key, self._inherited)
        changed._drops, changed._proxied = self._drops, self._proxied
        ports = {group.endpoint.port for group in self}
        steering = Steering(self.workers, self._steering_key, self._proxied) if self.workers > 1 else None
        respelt = {group.endpoint: group for text, group in self._groups.items() if text not in wanted}
        try:
            for text in wanted:
                endpoint = parse_endpoint(text)
                kept = self._groups.get(text) or respelt.get(endpoint) or self._handed_in(endpoint)
                if kept is None and not has_interface(endpoint.host):
                    changed.waiting.append(endpoint)
                    continue
                changed._groups[text] = kept or _bind(endpoint, steering, ports)
            for one in encrypted:
                self._add_encrypted(changed, one, ports)
        except BaseException:
            changed.close_but(self)
            raise
        return changed

    @property
    def inherited(self) -> InheritedSockets:
        """Sockets that systemd opened."""
        return self._inherited

    @property
    def steering_key(self) -> bytes:
        """What names are steered with."""
        return self._steering_key

    def _add_encrypted(self, changed: ListenerSet, one: EncryptedEndpoint, ports: set[int]) -> None:
        """Give `changed` the socket for `one`: ours, one that systemd opened, or a new one. Raises `PdnsError`."""
        endpoint = parse_endpoint(one.text)
        name = f"{one.transport} {one.text}"
        while name in changed._groups:  # the kernel chooses both ports
            name += "+"
        kept = self._groups.get(name) or next(
            (group for group in self if group.section >= 0 and group.endpoint == endpoint), None
        )
        if kept is not None:
            ((before, sockets),) = kept.sockets.items()
            listener = before if before.transport == one.transport else before._replace(transport=one.transport)
            same = kept.sockets if listener is before else {listener: sockets}
            changed._groups[name] = ListenerGroup(kept.endpoint, same, one.section)
        elif not has_interface(endpoint.host):
            changed.waiting.append(endpoint)
        else:
            handed_in = self._inherited.stream(endpoint)
            listener = Listener(one.transport, endpoint)
            sockets = (handed_in,) if handed_in is not None else _bind_alone(listener, ports)
            bound = Endpoint(endpoint.host, sockets[0].getsockname()[1])
            changed._groups[name] = ListenerGroup(bound, {listener._replace(endpoint=bound): sockets}, one.section)

    def steer(self, *, proxied: bool) -> None:
        """From now on, datagrams may begin with a PROXY header if `proxied`. Those that do not go where they went before."""
        if proxied == self._proxied:
            return
        self._proxied = proxied
        for group in self:
            if len(sockets := group.datagram_sockets) > 1 and (steering := self._steering(sockets)) is not None:
                steer(sockets[0], group.endpoint, steering)

    def _steering(self, sockets: Sequence[socket.socket]) -> Steering | None:
        """How datagrams are spread over `sockets`; the last ones get none if there are more than workers."""
        if len(sockets) == 1:
            return None
        return Steering(min(len(sockets), self.workers), self._steering_key, self._proxied)

    def _handed_in(self, endpoint: Endpoint) -> ListenerGroup | None:
        """A group with the sockets that systemd opened for `endpoint`; None when there are none. Raises `PdnsError`."""
        datagrams, stream = self._inherited.datagrams(endpoint), self._inherited.stream(endpoint)
        if not datagrams and stream is None:
            return None
        udp, tcp = Listener(Transport.UDP, endpoint), Listener(Transport.TCP, endpoint)
        if datagrams:
            steering = self._steering(datagrams)
            if steering is not None:
                steer(datagrams[0], endpoint, steering, needed=len(datagrams) > self.workers)
            if len(datagrams) != self.workers:
                _log.warning(
                    "%s (UDP): systemd handed in %d sockets for %d workers: give as many ListenDatagram= lines as workers",
                    endpoint, len(datagrams), self.workers,
                )  # fmt: skip
            udp = udp._replace(steering=steering)
            self._drops.update({sock: kernel_drops(sock) for sock in datagrams})  # those before are not of this run
        elif self.workers > 1:
            udp = udp._replace(steering=Steering(self.workers, self._steering_key, self._proxied))
        sockets = datagrams or udp.bind()
        try:
            return ListenerGroup(endpoint, {udp: sockets, tcp: (stream,) if stream is not None else tcp.bind()})
        except BaseException:
            if not datagrams:
                close_sockets(sockets)
            raise

    @property
    def endpoints(self) -> list[Endpoint]:
        """All bound endpoints, and those that are waiting."""
        return [*(group.endpoint for group in self), *self.waiting]

    @property
    def plain_endpoints(self) -> list[Endpoint]:
        """Those of `server.listen`, bound or waiting."""
        encrypted = [endpoint for endpoints in self.encrypted_endpoints.values() for endpoint in endpoints]
        return [endpoint for endpoint in self.endpoints if endpoint not in encrypted]

    @property
    def encrypted_endpoints(self) -> dict[int, list[Endpoint]]:
        """The bound addresses of encrypted listeners over TCP, by their index in the configuration."""
        found: dict[int, list[Endpoint]] = {}
        for group in self:
            if group.section >= 0:
                found.setdefault(group.section, []).append(group.endpoint)
        return found

    def interface_came(self) -> bool:
        """Whether the interface of a waiting endpoint has appeared since the last call, so that a failing bind is not retried
        every second.
        """
        before, self._came = self._came, {endpoint for endpoint in self.waiting if has_interface(endpoint.host)}
        return not self._came <= before

    def close_but(self, kept: ListenerSet) -> None:
        """Close every socket that `kept` does not share. It shares all that were handed in: an address may be spelt anew."""
        shared: Container[socket.socket] = self._inherited if kept._inherited is self._inherited else ()
        shared_now = {sock for group in kept for sock in group.all_sockets}
        for sock in [sock for group in self for sock in group.all_sockets if sock not in shared_now]:
            self._drops.pop(sock, None)
            if sock not in shared:
                sock.close()
        self._groups = {}

    def listeners(self, worker: int) -> tuple[tuple[ListeningSocket, ...], list[int]]:
        """The description of the listeners for a worker, and their descriptors in the same order."""
        described = [one for group in self for one in group.for_worker(worker)]
        return tuple(listening for listening, _ in described), [fd for _, fd in described]

    def udp_of(self, worker: int) -> tuple[tuple[ListeningSocket, ...], list[int]]:
        """The same for the sockets that not all workers read."""
        groups = [group for group in self if len(group.datagram_sockets) > 1]
        described = [one for group in groups for one in group.for_worker(worker) if not one[0].transport.is_stream]
        return tuple(listening for listening, _ in described), [fd for _, fd in described]

    def new_drops(self) -> int:
        """How many datagrams the kernel has dropped since the last call because they were not read in time."""
        total = 0
        for group in self:
            for sock in group.datagram_sockets:
                before, self._drops[sock] = self._drops.get(sock, 0), kernel_drops(sock)
                total += self._drops[sock] - before
        return total


def _bind(endpoint: Endpoint, steering: Steering | None, own_ports: set[int]) -> ListenerGroup:
    udp, tcp = Listener(Transport.UDP, endpoint, steering), Listener(Transport.TCP, endpoint)
    if endpoint.port:
        return _bind_both(udp, tcp, join=False, own_ports=own_ports)
    for _ in range(_TRIES):  # the kernel chooses for TCP; UDP may have that port in use
        sockets = tcp.bind()
        chosen = endpoint._replace(port=sockets[0].getsockname()[1])
        udp, chosen_tcp = udp._replace(endpoint=chosen), tcp._replace(endpoint=chosen)
        try:
            return ListenerGroup(chosen, {udp: udp.bind(), chosen_tcp: sockets})
        except PdnsError as error:
            close_sockets(sockets)
            failure = error
    raise failure


def _bind_alone(listener: Listener, own_ports: set[int]) -> tuple[socket.socket, ...]:
    try:
        return listener.bind()
    except PdnsError:
        if listener.endpoint.port not in own_ports:  # see `_bind_both`
            raise
    return listener.bind(join=True)


def _bind_both(udp: Listener, tcp: Listener, *, join: bool, own_ports: set[int]) -> ListenerGroup:
    try:
        sockets = udp.bind(join=join)
        try:
            return ListenerGroup(udp.endpoint, {udp: sockets, tcp: tcp.bind(join=join)})
        except BaseException:
            close_sockets(sockets)
            raise
    except PdnsError:
        # From 0.0.0.0:53 to 192.0.2.1:53, or back, without a gap: both are bound for a moment, and both are ours.
        if join or udp.endpoint.port not in own_ports:
            raise
    return _bind_both(udp, tcp, join=True, own_ports=own_ports)
