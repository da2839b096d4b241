"""An incident report with the listings of its name in force now, as the command line and the API make it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from pathlib import Path

from pdns.config.policies import NO_TENANT
from pdns.config.schema import Config
from pdns.core.client_identity import PSEUDONYM, ClientView, identity, packed, text_of, views_of
from pdns.errors import InvalidName
from pdns.event_store.queries import EventQueries
from pdns.explain import FeedStatement, UnknownError, explain, host_of
from pdns.report.incident import IncidentContent, ListedBy, collect
from pdns.report.periods import Period
from pdns.state import client_key
from pdns.wire import names


def incident_of(
    queries: EventQueries,
    config: Config,
    period: Period,
    now_s: float,
    *,
    name: str,
    client: str,
    tenant: str | None,
    with_pseudonyms: bool = True,
) -> IncidentContent:
    """What is known of `name` (a name, an address or a URL; "": any) and `client` ("": any). Raises `InvalidName`.

    A client is an address, or what events say instead: a network, or a pseudonym. `with_pseudonyms`: find those of an address.
    """
    if not name and not client:
        raise InvalidName("expected a name or a client")
    about = _canonical(name) if name else ""
    try:
        said = explain(config, about, now_s).said if about else []
    except UnknownError:
        said = []  # there is no blockset now
    listings = [_listed(one) for one in said if not one.allow]
    clients = client_texts(config, client, with_pseudonyms=with_pseudonyms) if client else ()
    return collect(queries, config, period, now_s, name=about, clients=clients, tenant=tenant, listings=listings)


def client_texts(config: Config, client: str, *, with_pseudonyms: bool) -> tuple[str, ...]:
    """What events may say of a client that a person typed, that text first: its address, its networks, its pseudonyms."""
    try:
        address = str(ipaddress.ip_address(client))
    except ValueError:
        return (client.lower(),)
    state_dir, views, texts = Path(config.state.dir), views_of(config), [address]
    has_key = with_pseudonyms and (state_dir / client_key.FILE_NAME).is_file()  # only the supervisor makes it
    key = client_key.client_key(state_dir) if has_key else b""
    tenants = (*(one.name for one in config.tenant), NO_TENANT)
    texts += [
        text_of(identity(views(tenant), key, tenant, packed(address)))
        for tenant in tenants
        if has_key or views(tenant).kind != PSEUDONYM
    ]
    return tuple(dict.fromkeys(filter(None, texts)))


def pseudonyms_of(config: Config, address: str, tenants: Iterable[str]) -> tuple[str, ...]:
    """The pseudonyms that a client had or would have at `tenants`, whatever events say of clients now; none of no address."""
    state_dir = Path(config.state.dir)
    try:
        plain = packed(address)
    except ValueError:
        return ()
    if not (state_dir / client_key.FILE_NAME).is_file():
        return ()
    key = client_key.client_key(state_dir)
    return tuple(text_of(identity(ClientView(PSEUDONYM), key, tenant, plain)) for tenant in tenants)


def _canonical(asked: str) -> str:
    host = host_of(asked)
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return names.to_text(names.from_text(host))


def _listed(said: FeedStatement) -> ListedBy:
    return ListedBy(
        feed=said.feed, category=said.category, listed=said.listed, threat=said.threat, since_s=said.first_seen_s,
        published_s=said.published_s, last_seen_s=said.last_seen_s,
    )  # fmt: skip
