"""Who a client is: its tenant, its policy, whether it may ask at all."""

# kernel: pdns/fast/clients.pyx

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final, NamedTuple, Protocol

from pdns.config.policies import NO_TENANT
from pdns.config.policy_schema import Tenant
from pdns.config.schema import Access
from pdns.core.credentials import NO_CREDENTIAL, Credential
from pdns.core.enrolled import (
    NO_CREDENTIAL_RULES,
    UNKNOWN_CERTIFICATE,
    UNKNOWN_TOKEN,
    CredentialRules,
    DigestTable,
    token_digest,
)

_MAX_KNOWN = 65536


class Client(NamedTuple):
    """What the configuration says of one address."""

    tenant: str
    policy: int
    policy_key: bytes  # ends every cache key, so that no policy sees another's answers
    allowed: bool


class Identity(NamedTuple):
    """Who presents a credential. Where it is not valid, that is a client which may not ask."""

    client: Client
    refusal: str = ""  # of `pdns.core.enrolled.REFUSALS`: why the credential is not valid
    is_unknown: bool = False  # it is a token: for HTTP, there is no such path


class Marks(Protocol):
    """`pdns.core.client_rules.ClientRules`."""

    def mark(self, address: IPv4Address | IPv6Address, policy: int, /) -> int: ...


class ClientTranslation(NamedTuple):
    """Clients whose policy has another number: those that a DNS64 serves, where it does not serve all; those that feeds list."""

    networks: tuple[str, ...] = ()
    added: int = 0  # to the number; 0 when there is nothing to tell clients by
    listed: Marks | None = None


ALL_ALIKE = ClientTranslation()


class ClientTable:
    """Address, credential -> Client, the longest matching network deciding. Remembers addresses that were seen, within bounds."""

    def __init__(
        self,
        access: Access,
        tenants: Sequence[Tenant],
        policies: Sequence[int],
        translation: ClientTranslation = ALL_ALIKE,
        credentials: CredentialRules = NO_CREDENTIAL_RULES,
        *,
        remember: bool = True,
    ) -> None:
        """`policies[i]` is the policy of `tenants[i]`; clients of no tenant have policy 0. With `remember`, addresses are not
        looked for twice.

        A tenant's networks may ask without being named under `access` as well.
        """
        self._networks: dict[tuple[int, int], dict[int, Client]] = {}
        self.server_names: Final[dict[str, Client]] = {}
        self._tokens: DigestTable[Client] = DigestTable()
        self._certificates: DigestTable[Client] = DigestTable()
        self._ended = credentials.ended
        for text in access.networks:
            self._add(text, Client(NO_TENANT, 0, _policy_key(0), True))
        clients: dict[str, Client] = {}
        for tenant, policy in zip(tenants, policies, strict=True):
            client = clients[tenant.name] = Client(tenant.name, policy, _policy_key(policy), True)
            for text in tenant.networks:
                self._add(text, client)
            self.server_names.update(dict.fromkeys(tenant.tls_names, client))
            if tenant.doh_token_sha256:
                self._tokens.add(bytes.fromhex(tenant.doh_token_sha256), client)
            if tenant.certificate_sha256:
                self._certificates.add(bytes.fromhex(tenant.certificate_sha256), client)
        for table, enrolled in (self._tokens, credentials.tokens), (self._certificates, credentials.certificates):
            for digest, name in enrolled.items():
                if name in clients:
                    table.add(digest, clients[name])
        self._lengths = sorted(self._networks, key=lambda item: -item[1])
        self._stranger = Client(NO_TENANT, 0, _policy_key(0), False)
        self._translated = tuple(map(ip_network, translation.networks)) if translation.added else ()
        self._added = translation.added
        self._listed = translation.listed
        self._remember = remember
        self._known: dict[str, Client] = {}

    def lookup(self, address: str) -> Client:
        """The client at `address` (text, without scope); a stranger's entry says it is not allowed."""
        client = self._known.get(address)
        if client is None:
            client = self._find(address)
            if not self._remember:
                return client
            if len(self._known) >= _MAX_KNOWN:
                del self._known[next(iter(self._known))]
            self._known[address] = client
        return client

    def identify(self, address: str, credential: Credential) -> Identity:
        """The client at `address` that presents `credential`: the first of certificate, token, server name and address that says
        who it is. Each certificate or token that is presented must be valid, whatever the other says.
        """
        if credential is NO_CREDENTIAL:
            return Identity(self.lookup(address))
        by_token = by_certificate = None
        if credential.token:
            digest = token_digest(credential.token)
            by_token = self._tokens.get(digest)
            if by_token is None or digest in self._ended:
                return Identity(self._stranger, self._ended.get(digest, UNKNOWN_TOKEN), is_unknown=True)
        if credential.certificate_sha256:
            digest = credential.certificate_sha256
            by_certificate = self._certificates.get(digest)
            if by_certificate is None or digest in self._ended:
                return Identity(self._stranger, self._ended.get(digest, UNKNOWN_CERTIFICATE))
        client = by_certificate or by_token
        if client is None:
            client = self.server_names.get(credential.server_name)
            if client is None:
                return Identity(self.lookup(address))
            client = client._replace(allowed=credential.admits_by_name or self.lookup(address).allowed)
        return Identity(self._marked(client, _parsed(address)))

    def _add(self, text: str, client: Client) -> None:
        address, _, length = text.partition("/")
        parsed = IPv6Address(address) if ":" in address else IPv4Address(address)  # ip_network() takes longer
        self._networks.setdefault((parsed.version, int(length)), {})[int(parsed)] = client

    def _find(self, address: str) -> Client:
        parsed = _parsed(address)
        return self._marked(self._find_untranslated(parsed), parsed)

    def _marked(self, client: Client, parsed: IPv4Address | IPv6Address) -> Client:
        if self._listed is not None and (mark := self._listed.mark(parsed, client.policy)):
            client = client._replace(policy=client.policy + mark, policy_key=_policy_key(client.policy + mark))
        if any(parsed in network for network in self._translated):
            policy = client.policy + self._added
            return client._replace(policy=policy, policy_key=_policy_key(policy))
        return client

    def _find_untranslated(self, parsed: IPv4Address | IPv6Address) -> Client:
        number, bits = int(parsed), parsed.max_prefixlen
        for version, length in self._lengths:
            if version == parsed.version:
                client = self._networks[version, length].get(number >> (bits - length) << (bits - length))
                if client is not None:
                    return client
        return self._stranger


def _parsed(address: str) -> IPv4Address | IPv6Address:
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    return parsed


def _policy_key(policy: int) -> bytes:
    return policy.to_bytes(2)
