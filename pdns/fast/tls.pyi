from collections.abc import Sequence

class TlsContext:
    @property
    def admission(self) -> tuple[str, bytes, bytes]: ...
    def __init__(
        self,
        certificates: Sequence[tuple[bytes, bytes]],
        ticket_keys: Sequence[bytes],
        *,
        https: bool = False,
        client_certificate: str = "off",
        client_ca: bytes = b"",
        client_crl: bytes = b"",
    ) -> None: ...
