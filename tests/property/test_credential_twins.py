"""Clients with credentials, which are enrolled and revoked meanwhile: the same from compiled code and from Python."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pdns.config.schema import Config
from pdns.core.clients import ClientTable, ClientTranslation
from pdns.core.credentials import NO_CREDENTIAL, Credential
from pdns.core.enrolled import EXPIRED, REFUSALS, REVOKED, CredentialRules, token_digest
from pdns.fast.clients import ClientTable as CompiledClientTable
from pdns.wire.transport import Transport
from tests.credentialtable import TENANTS
from tests.effort import examples
from tests.property.test_given_twins import BLOCKSETS
from tests.property.test_policy_twins import QUESTIONS, raw_of
from tests.property.test_twins import ADDRESSES, _Side

TOKENS = [b"", b"one", b"two", b"south-by-file", b"never"]
CERTIFICATES = [b"", b"e" * 32, b"f" * 32, b"n" * 32, token_digest(b"one")]
NAMES = ["", "west.dns.example", "dns.example"]
TENANT_NAMES = ["north", "south", "west", "removed"]
CREDENTIALS = st.one_of(
    st.just(NO_CREDENTIAL),
    st.builds(
        Credential, st.sampled_from(CERTIFICATES), st.sampled_from(TOKENS), st.sampled_from(NAMES), admits_by_name=st.booleans()
    ),
)
_DIGESTS = st.sampled_from([*map(token_digest, TOKENS[1:]), *CERTIFICATES[1:]])
_OWNERS = st.dictionaries(_DIGESTS, st.sampled_from(TENANT_NAMES), max_size=4)
RULES = st.builds(CredentialRules, _OWNERS, _OWNERS, st.dictionaries(_DIGESTS, st.sampled_from([EXPIRED, REVOKED]), max_size=2))


@given(RULES, RULES, st.lists(st.tuples(ADDRESSES, CREDENTIALS), max_size=30))
def test_clients_are_identified_alike(
    rules: CredentialRules, later: CredentialRules, asked: list[tuple[str, Credential]]
) -> None:
    """Both tables say the same of whatever a client shows, also the table that replaces another."""
    some = ClientTranslation(("198.51.100.0/25", "2001:db8::/36", "10.0.0.0/9"), 3)
    access = _CONFIG.access
    compiled: CompiledClientTable | None = None
    for credentials in (rules, later):
        python = ClientTable(access, TENANTS, (1, 2, 3, 4), some, credentials)
        compiled = CompiledClientTable(access, TENANTS, (1, 2, 3, 4), some, credentials, compiled)
        for address, credential in asked * 2:
            assert compiled.identify(address, credential) == python.identify(address, credential)
            assert compiled.lookup(address) == python.lookup(address)


CLIENTS = ["127.0.0.1", "198.51.100.9", "10.0.3.4", "8.8.8.8", "2a00::1"]
_ASKED = st.tuples(
    st.just("ask"), QUESTIONS, st.sampled_from(CLIENTS), st.sampled_from(["tls", "https", "quic", "h3", "tcp"]), CREDENTIALS
)
STEPS = st.lists(
    st.one_of(
        _ASKED,
        _ASKED,
        _ASKED,
        st.tuples(st.just("admits"), st.sampled_from(CLIENTS), CREDENTIALS),
        st.tuples(st.just("answer"), st.booleans()),
        st.tuples(st.just("enrolled"), RULES),
        st.tuples(st.just("config"), st.sampled_from([0, 1])),
    ),
    min_size=5,
    max_size=40,
)
_CREDENTIALS_OF: dict[str, dict[str, Any]] = {
    "north": {"doh_token_sha256": token_digest(b"south-by-file").hex()},
    "south": {"certificate_sha256": (b"f" * 32).hex()},
    "west": {"tls_names": ["west.dns.example"]},
}
_RAW = raw_of({})
_RAW["feed"] = [{**feed, "required": False} for feed in _RAW["feed"]]
_RAW["tenant"] = [{**tenant, **_CREDENTIALS_OF[tenant["name"]]} for tenant in _RAW["tenant"]]
_LESS = {**_RAW, "tenant": _RAW["tenant"][1:]}
_CONFIG = msgspec.convert(_RAW, Config)


@examples(100)
@given(STEPS)
def test_a_service_is_the_same_on_both(steps: list[tuple[Any, ...]]) -> None:
    """Queries with credentials, enrolments and reloads in any order: the same bytes, counts and refusals. A token that is not
    valid gets nothing but REFUSED.
    """
    sides = [_Side(_RAW, compiled=compiled, blockset=BLOCKSETS[0]) for compiled in (False, True)]
    configs = [[msgspec.convert(tables, type(side.config)) for tables in (_RAW, _LESS)] for side in sides]
    admitted: list[list[bool]] = [[], []]
    try:
        for number, (what, *how) in enumerate(steps):
            for index, (side, of_side) in enumerate(zip(sides, configs, strict=True)):
                rules = side.service.rules
                if what == "ask":
                    ask(side, number, *how)
                elif what == "admits":
                    admitted[index].append(side.service.admits(*how))
                elif what == "answer":
                    side.upstream.answer_all(fail=how[0])
                elif what == "enrolled":
                    side.service.adopt(rules.with_credentials(how[0]))
                else:
                    side.service.adopt(rules.with_config(of_side[how[0]]), side.upstream)
            assert sides[1].sent == sides[0].sent
        assert admitted[1] == admitted[0]
        assert sides[1].counted() == sides[0].counted()
        refused = {labels[0] for family, *labels in sides[1].counted() if family == "credentials_refused_total"}
        assert refused <= set(REFUSALS)
    finally:
        for side in sides:
            side.end()


def ask(side: _Side, number: int, wire: bytes, client: str, transport: str, credential: Credential) -> None:
    sent_before = len(side.sent)
    side.service.on_message(
        wire, client, 4000 + number, Transport(transport), lambda reply: side.sent.append((number, reply)), credential
    )
    if credential.token == b"never" and token_digest(b"never") not in side.service.rules.credentials.tokens:
        assert [reply[3] & 15 for _, reply in side.sent[sent_before:]] == [5]
