"""An incident report with the listings of its name in force now, as the command line and the API make it."""

from __future__ import annotations

import ipaddress

from pdns.config.schema import Config
from pdns.errors import InvalidName
from pdns.event_store.queries import EventQueries
from pdns.explain import FeedStatement, UnknownError, explain, host_of
from pdns.report.incident import IncidentContent, ListedBy, collect
from pdns.report.periods import Period
from pdns.wire import names


def incident_of(
    queries: EventQueries, config: Config, period: Period, now_s: float, *, name: str, client: str, tenant: str | None
) -> IncidentContent:
    """What is known of `name` (a name, an address or a URL; "": any) and `client` ("": any). Raises `InvalidName`.

    A client is an address, or what events say instead: a network, or "h:" and its hash.
    """
    if not name and not client:
        raise InvalidName("expected a name or a client")
    about = _canonical(name) if name else ""
    try:
        said = explain(config, about, now_s).said if about else []
    except UnknownError:
        said = []  # there is no blockset now
    listings = [_listed(one) for one in said if not one.allow]
    clients = client_texts(client) if client else ()
    return collect(queries, config, period, now_s, name=about, clients=clients, tenant=tenant, listings=listings)


def client_texts(client: str) -> tuple[str, ...]:
    """What events may say of a client that a person typed."""
    try:
        return tuple(dict.fromkeys((str(ipaddress.ip_address(client)), client)))
    except ValueError:
        return (client.lower(),)


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
