"""What a client shows besides its address: it may say which tenant it belongs to."""

from __future__ import annotations

from typing import Final, NamedTuple


class Credential(NamedTuple):
    """What came with an encrypted connection or request. Empty: it did not show this.

    The first that is there decides: certificate, token, server name; then the address.
    """

    certificate_sha256: bytes = b""  # of the client's certificate, which its authority has vouched for
    token: bytes = b""  # in the path of a DoH request; a secret
    server_name: str = ""  # that the client asked for (SNI), in lower case without the last dot; a label, not a secret
    admits_by_name: bool = False  # the listener lets such a name admit clients from everywhere


NO_CREDENTIAL: Final = Credential()
