"""What a client would get, decided by the resolver code, in words: for `pdns explain` and the admin API."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network

from dnslib import QTYPE, DNSRecord

from pdns.blockset.reader import Blockset
from pdns.config.schema import Config
from pdns.core.clients import ClientTable
from pdns.core.outcome import Answer, Drop, Forward
from pdns.core.policy import CLEAN, Policy
from pdns.core.query import Query
from pdns.core.resolver import Resolver
from pdns.core.ruleset import RuleSet
from pdns.reference.cache import ReferenceCache
from pdns.reference.first_stages import FirstStages
from pdns.state.overrides import Overrides
from pdns.wire import protocol as p
from pdns.wire.names import to_text

_SHOWN_TYPES = (p.A, p.AAAA, p.HTTPS)


def client_of_tenant(config: Config, tenant: str) -> str:
    """An address that a client of `tenant` could have. Raises `LookupError` for a tenant that is not configured."""
    if not tenant:
        return next((str(ip_network(text)[0]) for text in config.access.networks), "127.0.0.1")
    for candidate in config.tenant:
        if candidate.name == tenant:
            if not candidate.networks:
                raise LookupError(f'the tenant "{tenant}" has no networks: its clients have no address of their own')
            return str(ip_network(candidate.networks[0])[0])
    known = ", ".join(candidate.name for candidate in config.tenant) or "none are configured"
    raise LookupError(f'no tenant "{tenant}"; tenants: {known}')


def policy_number(config: Config, policy: Policy, blockset: Blockset | None, client: str) -> int:
    """That of the client at an address, as workers have it."""
    marks = policy.translation._replace(listed=policy.client_rules(blockset))
    return ClientTable(config.access, config.tenant, policy.tenant_policies, marks, remember=False).lookup(client).policy


def answers_leading_to(
    config: Config, blockset: Blockset | None, current: Overrides, address: IPv4Address | IPv6Address, client: str, now_s: float
) -> dict[str, str]:
    """What happens to an answer with this address, for the client at the address `client`."""
    policy = Policy(config, current.rules(0.0), now_s)
    number = policy_number(config, policy, blockset, client)
    decision = policy.decide_address(blockset, number, address.packed, b"\0") if blockset is not None else CLEAN
    if decision.verdict is not None:
        feed, category = decision.verdict.feed, decision.verdict.category
        return {"any": f"is blocked by {feed} ({category}), which lists {decision.rule}, unless an allowlist has the name"}
    if decision.monitored:
        return {"any": f"passes; {', '.join(feed for feed, _ in decision.monitored)} would block it, in monitor mode"}
    return {"any": "passes"}


def answers_to(
    config: Config, blockset: Blockset | None, current: Overrides, qname: bytes, address: str, now_s: float
) -> dict[str, str]:
    rules = RuleSet.of(config, blockset=blockset, local=current.rules(0.0), ready=True, now_s=now_s)
    resolver = FirstStages(Resolver(rules, ReferenceCache(config.cache.max_bytes)))
    told = {QTYPE[qtype]: _outcome(resolver, qname, qtype, address) for qtype in _SHOWN_TYPES}
    return {"any type": outcomes.pop()} if len(outcomes := set(told.values())) == 1 else told


def _outcome(resolver: FirstStages, qname: bytes, qtype: int, address: str) -> str:
    """What the resolver decides, in words."""
    question = qname + qtype.to_bytes(2) + p.CLASS_IN.to_bytes(2)
    query = Query(0, p.RD, question, qtype, p.CLASS_IN, edns=False, do=False, udp_bytes=65535)
    outcome = resolver.handle(query, resolver.client(address), address, 0.0)
    if isinstance(outcome, Forward) and outcome.redirect is not None:
        target, feed = to_text(outcome.asked_name), outcome.redirect.template.feed
        return f"what the upstream says of {target}, where {feed} leads it"
    if isinstance(outcome, Forward):
        return "the upstream's answer, unless its CNAMEs or addresses lead to a listed name or address"
    if isinstance(outcome, Drop):
        return f"no answer ({outcome.reason})"
    assert isinstance(outcome, Answer)  # the others are for queries that come in batches
    return _answer_text(outcome, query)


def _answer_text(answer: Answer, query: Query) -> str:
    entry = answer.entry
    if entry.silent:
        return f"no answer at all ({_reason(answer)})"
    if entry.tcp_only:
        return f"over UDP nothing but TC, over TCP the upstream's answer ({_reason(answer)})"
    record = DNSRecord.parse(entry.render(query, 0.0, 65535))
    rcode = p.RCODE_NAMES.get(entry.rcode, str(entry.rcode))
    data = ", ".join(f"{QTYPE[rr.rtype]} {rr.rdata}" for rr in record.rr) or ("NODATA" if entry.rcode == p.NOERROR else rcode)
    ttl_s = min((rr.ttl for rr in (*record.rr, *record.auth)), default=0)
    return f"{data} for {ttl_s} s ({_reason(answer)})"


def _reason(answer: Answer) -> str:
    if answer.entry.ede is not None:
        code, text = answer.entry.ede
        return f"{answer.source}, EDE {code}: {text.decode()}"
    return answer.source
