"""Upstreams that put records of other zones into their answers: what the published attack MaginotDNS tries.

handler = poisoner("192.0.2.1")
attack("chain", "www.two.example", "one.example")   # the name to ask for, which makes the upstream of one.example do it
"""

from __future__ import annotations

from collections.abc import Callable

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rrset

from tests.fakes.upstream import Action, Handler, SeenQuery, Send, answer

FORGED = "203.0.113.66"
TOP = "example"  # what all zones of a test are below
_SOA = "evil.test. evil.test. 1 3600 600 86400 86400"


def attack(way: str, victim: str, zone: str) -> str:
    """The name below `zone` whose answer carries records about `victim`."""
    return f"{way}.{victim.replace('.', '--')}.{zone}"


def victim_of(way: str, victim: str) -> str:
    """The name that `way` speaks of: the DNAME of its question's zone leads to a longer one."""
    return f"{way}.{victim.replace('.', '--')}.{_parent(victim)}" if way == "own-dname" else victim


def poisoner(own: str) -> Handler:
    """`own` as the address of every name, and with it what the names of `attack` ask for."""
    truth = answer(own)

    def handle(query: SeenQuery) -> list[Action]:
        way, _, rest = query.name.partition(".")
        coded, _, zone = rest.partition(".")
        victim = coded.replace("--", ".")
        led_here = zone == _parent(victim) or (way == "of-top" and zone.endswith(f".{_parent(victim)}"))  # by a DNAME
        if way not in WAYS or not zone or led_here:
            return list(truth(query))
        message = dns.message.make_response(dns.message.from_wire(query.wire), recursion_available=True)
        WAYS[way](_Forger(message, own, victim, zone))
        return [Send(message.to_wire())]

    return handle


class _Forger:
    """One answer in the making. `put` adds a record, by section."""

    def __init__(self, message: dns.message.Message, own: str, victim: str, zone: str) -> None:
        self.message, self.own, self.victim, self.zone = message, own, victim, zone
        self.above = _parent(victim)
        self.qname = message.question[0].name.to_text()

    def put(self, section: list[dns.rrset.RRset], owner: str, rtype: str, data: str) -> None:
        name = owner if owner.endswith(".") else f"{owner}."
        section.append(dns.rrset.from_text(name, 86400, "IN", rtype, data))

    def honest(self) -> None:
        """The address of the name that was asked for."""
        self.put(self.message.answer, self.qname, "A", self.own)


def _chain(forger: _Forger) -> None:
    """An alias of a name of the other zone, and that name's address."""
    forger.put(forger.message.answer, forger.qname, "CNAME", f"{forger.victim}.")
    forger.put(forger.message.answer, forger.victim, "A", FORGED)


def _chain_to_nothing(forger: _Forger) -> None:
    """An alias of a name of the other zone, which does not exist, by its own SOA."""
    forger.put(forger.message.answer, forger.qname, "CNAME", f"{forger.victim}.")
    forger.put(forger.message.authority, forger.above, "SOA", _SOA)
    forger.message.set_rcode(dns.rcode.NXDOMAIN)


def _chain_to_no_data(forger: _Forger) -> None:
    """The same name exists, and has no address."""
    forger.put(forger.message.answer, forger.qname, "CNAME", f"{forger.victim}.")
    forger.put(forger.message.authority, forger.above, "SOA", _SOA)


def _chain_through(forger: _Forger) -> None:
    """An alias of a name of the other zone, which is an alias of a name of this one."""
    forger.put(forger.message.answer, forger.qname, "CNAME", f"{forger.victim}.")
    forger.put(forger.message.answer, forger.victim, "CNAME", f"back.{forger.zone}.")
    forger.put(forger.message.answer, f"back.{forger.zone}", "A", FORGED)


def _own_dname(forger: _Forger) -> None:
    """A DNAME of this zone to the other, and the address of what it makes."""
    made = victim_of("own-dname", forger.victim)
    forger.put(forger.message.answer, forger.zone, "DNAME", f"{forger.above}.")
    forger.put(forger.message.answer, forger.qname, "CNAME", f"{made}.")
    forger.put(forger.message.answer, made, "A", FORGED)


def _answer(forger: _Forger) -> None:
    """Beside the answer an address of the other zone's name."""
    forger.honest()
    forger.put(forger.message.answer, forger.victim, "A", FORGED)


def _dname_above(forger: _Forger) -> None:
    """Beside the answer a DNAME at the other zone's apex."""
    forger.honest()
    forger.put(forger.message.answer, forger.above, "DNAME", "evil.test.")


def _dname_at_the_top(forger: _Forger) -> None:
    """Beside the answer a DNAME of all zones, from which nothing follows."""
    forger.honest()
    forger.put(forger.message.answer, TOP, "DNAME", "evil.test.")


def _dname_of_the_top(forger: _Forger) -> None:
    """A DNAME of all zones, and what it makes of the name that was asked for."""
    made = forger.qname.removesuffix(f"{TOP}.") + f"{forger.above}."
    forger.put(forger.message.answer, TOP, "DNAME", f"{forger.above}.")
    forger.put(forger.message.answer, forger.qname, "CNAME", made)


def _cname_of_victim(forger: _Forger) -> None:
    """Beside the answer an alias at the other zone's name."""
    forger.honest()
    forger.put(forger.message.answer, forger.victim, "CNAME", f"back.{forger.zone}.")


def _authority(forger: _Forger) -> None:
    """Name servers for the other zone, for the top and for the root, with their addresses."""
    forger.honest()
    for owner in (forger.above, "example", "."):
        forger.put(forger.message.authority, owner, "NS", f"ns.{forger.zone}.")
    forger.put(forger.message.additional, f"ns.{forger.zone}", "A", FORGED)


def _glue(forger: _Forger) -> None:
    """Name servers whose address is the other zone's name."""
    forger.honest()
    forger.put(forger.message.authority, forger.zone, "NS", f"{forger.victim}.")
    forger.put(forger.message.additional, forger.victim, "A", FORGED)


def _additional(forger: _Forger) -> None:
    """The address of the other zone's name as an additional record."""
    forger.honest()
    forger.put(forger.message.additional, forger.victim, "A", FORGED)


def _soa(forger: _Forger) -> None:
    """The name does not exist, by the SOA of the other zone."""
    forger.put(forger.message.authority, forger.above, "SOA", _SOA)
    forger.put(forger.message.authority, forger.victim, "SOA", _SOA)
    forger.message.set_rcode(dns.rcode.NXDOMAIN)


def _soa_of_root(forger: _Forger) -> None:
    """The name does not exist, by the SOA of the root, and nor does the other zone."""
    forger.put(forger.message.authority, ".", "SOA", _SOA)
    forger.put(forger.message.authority, forger.above, "NSEC", f"{forger.above}. A")
    forger.message.set_rcode(dns.rcode.NXDOMAIN)


# Ways that lead to the victim, which its own server answers for; ways that speak of it beside the answer; ways that deny it.
LEADING: dict[str, Callable[[_Forger], None]] = {
    "chain": _chain, "nothing": _chain_to_nothing, "nodata": _chain_to_no_data, "through": _chain_through,
    "own-dname": _own_dname,
}  # fmt: skip
BESIDE: dict[str, Callable[[_Forger], None]] = {
    "answer": _answer, "above": _dname_above, "cname": _cname_of_victim, "authority": _authority, "glue": _glue,
    "additional": _additional,
}  # fmt: skip
DENYING: dict[str, Callable[[_Forger], None]] = {"soa": _soa, "rootsoa": _soa_of_root}
ABOVE: dict[str, Callable[[_Forger], None]] = {"top": _dname_at_the_top, "of-top": _dname_of_the_top}
WAYS = {**LEADING, **BESIDE, **DENYING, **ABOVE}


def _parent(name: str) -> str:
    return name.partition(".")[2]
