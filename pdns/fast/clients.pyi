from collections.abc import Sequence

from pdns.config.policy_schema import Tenant
from pdns.config.schema import Access, RateLimit
from pdns.core.clients import Client, ClientTranslation, Identity
from pdns.core.credentials import Credential
from pdns.core.enrolled import CredentialRules

class ClientTable:
    clients: list[Client]
    def __init__(
        self,
        access: Access,
        tenants: Sequence[Tenant],
        policies: Sequence[int],
        translation: ClientTranslation = ...,
        credentials: CredentialRules = ...,
        before: ClientTable | None = None,
    ) -> None: ...
    def lookup(self, address: str) -> Client: ...
    def identify(self, address: str, credential: Credential) -> Identity: ...

class RateLimiter:
    action: str
    on: bool
    def __init__(self, config: RateLimit, memory: memoryview | None = None, *, verified: bool = False) -> None: ...
    def admits(self, address: str, now: float) -> bool: ...
