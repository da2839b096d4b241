"""Which of the addresses that are listened on the machine has at the moment. Those that it has not work once it has them."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Iterable
from typing import Final

from pdns.addresses import Endpoint

_LOOK_EVERY_S: Final = 1.0
_log = logging.getLogger(__name__)


class ListenAddresses:
    """Looks at them again and again, and says in the log what comes and goes. Sends nothing."""

    def __init__(self, endpoints: Callable[[], Iterable[Endpoint]]) -> None:
        """`endpoints` gives those that are bound."""
        self._endpoints = endpoints
        self.present: dict[str, bool] = {}  # by endpoint, as last looked at

    @property
    def absent(self) -> list[str]:
        """What is missing, a line for each."""
        return [f"{endpoint}: no interface has this address" for endpoint, present in self.present.items() if not present]

    async def watch(self) -> None:
        """Look every second. Runs until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(_LOOK_EVERY_S)

    def look(self) -> None:
        """Look now."""
        before, self.present = self.present, {str(endpoint): is_present(endpoint.host) for endpoint in self._endpoints()}
        for endpoint, present in self.present.items():
            if not present and before.get(endpoint, True):
                _log.warning("%s: no interface has this address; clients reach it once one has", endpoint)
            elif present and not before.get(endpoint, True):
                _log.info("%s: an interface has this address now", endpoint)


def is_present(host: str) -> bool:
    """Whether an interface has this address, or it is a wildcard. Where net.ipv4.ip_nonlocal_bind is set, all are."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            found = socket.getaddrinfo(host, 0, probe.family, probe.type, flags=socket.AI_NUMERICHOST)
            probe.bind(found[0][4])
    except OSError as error:
        return error.errno != errno.EADDRNOTAVAIL
    return True
