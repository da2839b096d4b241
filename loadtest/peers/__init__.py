"""Other servers, measured beside ours: one module each."""

from __future__ import annotations

from loadtest.peers import bind, dnsdist, dnsmasq, dnsproxy, knot, recursor, unbound
from loadtest.peers.peer import Peer

PEERS: tuple[Peer, ...] = (dnsdist.PEER, unbound.PEER, recursor.PEER, dnsmasq.PEER, bind.PEER, knot.PEER)

ALL: tuple[Peer, ...] = (*PEERS, dnsproxy.PEER)  # with one whose encrypted transports alone are measured


def named(names: str) -> tuple[Peer, ...]:
    """The peers that a list with commas names. Raises `ValueError` for one that is not known."""
    known = {peer.name: peer for peer in ALL}
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in known:
            raise ValueError(f"{name} is not a peer; these are: {', '.join(known)}")
    return tuple(known[name] for name in wanted)
