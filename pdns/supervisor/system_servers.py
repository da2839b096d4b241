"""`servers = ["system"]`: the name servers of this machine, followed while the server runs."""

from __future__ import annotations

import logging
from pathlib import Path

from msgspec.structs import replace

from pdns.config.load import from_tables
from pdns.config.system import RESOLV_CONF, system_servers
from pdns.config.watch import FileWatch, Loaded
from pdns.errors import ConfigErrors

_log = logging.getLogger(__name__)


class SystemServers:
    """The file that names them, as DHCP, VPNs and people change it."""

    def __init__(self, resolv_conf: Path = RESOLV_CONF) -> None:
        self._path = resolv_conf
        self._watch = FileWatch(resolv_conf)

    def followed(self, live: Loaded) -> Loaded | None:
        """To be called every second or so: `live` with the servers that the file names now; None while that changes nothing.

        A file that is away, names no server, or none but this resolver changes nothing. Says what it leaves out.
        """
        if not self._watch.changed() or not _follows(live):
            return None
        try:
            loaded = self._with_servers(live)
        except ConfigErrors as error:
            for one in error.errors:
                _log.error("%s", one)
            _log.error("%s is not followed: forwarding to %s as before", self._path, _text(live))
            return None
        self.warn(loaded)
        if loaded.config.upstream == live.config.upstream:
            return None
        _log.info("%s changed: forwarding to %s instead of %s", self._path, _text(loaded), _text(live))
        return loaded

    def kept(self, loaded: Loaded, live: Loaded) -> Loaded:
        """`loaded`, but with the servers of `live` if the file is away or names none at this moment."""
        if _follows(loaded) and _asked_for(loaded) == _asked_for(live) and not system_servers(self._path):
            return _with(loaded, live.config.upstream.servers)
        return loaded

    def warn(self, live: Loaded) -> None:
        """Say which of the servers are this resolver itself, and so left out."""
        if _follows(live):
            for server in map(str, system_servers(self._path)):
                if server not in live.config.upstream.servers:
                    _log.warning("%s names %s, which is this resolver: left out", self._path, server)

    def _with_servers(self, live: Loaded) -> Loaded:
        if not system_servers(self._path):
            return live
        found = from_tables(live.tables, str(live.path), live.path.absolute().parent, resolv_conf=self._path)
        return _with(live, found.upstream.servers)


def _follows(loaded: Loaded) -> bool:
    return "system" in _asked_for(loaded)


def _asked_for(loaded: Loaded) -> list[str]:
    """The servers as the configuration file has them."""
    return list(loaded.tables.get("upstream", {}).get("servers", ()))


def _with(loaded: Loaded, servers: tuple[str, ...]) -> Loaded:
    return loaded._replace(config=replace(loaded.config, upstream=replace(loaded.config.upstream, servers=servers)))


def _text(loaded: Loaded) -> str:
    return ", ".join(loaded.config.upstream.servers)
