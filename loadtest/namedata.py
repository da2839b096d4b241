"""Zones and local records, as a large council has them, and tenants as a service for many councils has them. The traffic asks
for none of these names; it comes from a client of a tenant.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

ZONES: Final = 50
RECORDS: Final = 10_000
TENANTS: Final = 250
PREFIXES: Final = 10_000
POLICIES: Final = 40
_ENTRIES: Final = 20  # of each policy


def zones_and_records() -> str:
    """Sections of a configuration."""
    return "\n".join((*_zones(), *_records())) + "\n"


def tenants_and_policies(tenants: int = TENANTS) -> str:
    """Likewise, with 40 prefixes for each tenant."""
    return "\n".join((*_policies(), *_tenants(tenants))) + "\n"


def _zones() -> Iterator[str]:
    for number in range(ZONES):
        yield f'[[zone]]\nnames = ["office{number}.example", "{number}.10.in-addr.arpa"]\nservers = ["udp://127.0.0.1:9"]'


def _records() -> Iterator[str]:
    for number in range(RECORDS):
        host, site = divmod(number, 100)
        yield f'[[record]]\nname = "host{host}.site{site}.example"\na = ["10.200.{site}.{host}"]'


def _policies() -> Iterator[str]:
    for number in range(POLICIES):
        inherits = f'inherits = "policy{number - 1}"\n' if number % 4 else ""
        entries = ", ".join(f'"allowed{at}.policy{number}.example"' for at in range(_ENTRIES))
        blocked = ", ".join(f'"blocked{at}.policy{number}.example"' for at in range(_ENTRIES))
        yield (
            f'[[policy]]\nname = "policy{number}"\n{inherits}categories = {{ ads = "off", phishing = "block" }}\n'
            f'actions = {{ phishing = "nxdomain" }}\nallow = [{entries}]\nblock = [{blocked}]\n'
            f'[[policy.schedule]]\nstart = "08:00"\nend = "17:00"\ncategories = {{ tracking = "block" }}'
        )


def _tenants(tenants: int) -> Iterator[str]:
    each = PREFIXES // TENANTS
    for number in range(tenants):
        networks = [f'"10.{at >> 8}.{at & 255}.0/24"' for at in range(number * each, number * each + each // 2)]
        networks += [f'"2001:db8:{at:x}::/48"' for at in range(number * each, number * each + each // 2)]
        if number == 0:
            networks[0] = '"127.0.0.0/8"'
        yield (f'[[tenant]]\nname = "tenant{number}"\npolicy = "policy{number % POLICIES}"\nnetworks = [{", ".join(networks)}]')
