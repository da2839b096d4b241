"""`servers = ["system"]`: the name servers of this machine, updated while the server runs."""

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
    """The file that lists them, which DHCP, VPNs and people change."""

    def __init__(self, resolv_conf: Path = RESOLV_CONF) -> None:
        self._path = resolv_conf
        self._watch = FileWatch(resolv_conf)

    def followed(self, live: Loaded) -> Loaded | None:
        """Call this every second or so. Returns `live` with the servers that the file lists now; None without a change.

        A file that is missing, or lists no server other than this resolver, changes nothing. Logs the servers it leaves out.
        """
        if not self._watch.changed() or not _follows(live):
            return None
        try:
            loaded = self._with_servers(live)
        except ConfigErrors as error:
            for one in error.errors:
                _log.error("%s", one)
            _log.error("%s is not used: still forwarding to %s", self._path, _text(live))
            return None
        self.warn(loaded)
        if loaded.config.upstream == live.config.upstream:
            return None
        _log.info("%s changed: forwarding to %s instead of %s", self._path, _text(loaded), _text(live))
        return loaded

    def kept(self, loaded: Loaded, live: Loaded) -> Loaded:
        """`loaded`, but with the servers of `live` if the file is missing or lists none at the moment."""
        if _follows(loaded) and _asked_for(loaded) == _asked_for(live) and not system_servers(self._path):
            return _with(loaded, live.config.upstream.servers)
        return loaded

    def warn(self, live: Loaded) -> None:
        """Log which of the servers are this resolver itself and so left out."""
        if _follows(live):
            for server in map(str, system_servers(self._path)):
                if server not in live.config.upstream.servers:
                    _log.warning("%s names %s, which is this resolver: left out", self._path, server)

    def _with_servers(self, live: Loaded) -> Loaded:
        if not system_servers(self._path):
            return live
        local = {key: value for key, value in live.tables.get("local", {}).items() if key not in ("hosts_files", "zone_files")}
        tables = {**live.tables, "local": local, "record": ()}  # without local records, whose files may be broken by now
        found = from_tables(tables, str(live.path), live.path.absolute().parent, resolv_conf=self._path)
        return _with(live, found.upstream.servers)


def _follows(loaded: Loaded) -> bool:
    return "system" in _asked_for(loaded)


def _asked_for(loaded: Loaded) -> list[str]:
    """The servers as written in the configuration file."""
    return list(loaded.tables.get("upstream", {}).get("servers", ()))


def _with(loaded: Loaded, servers: tuple[str, ...]) -> Loaded:
    return loaded._replace(config=replace(loaded.config, upstream=replace(loaded.config.upstream, servers=servers)))


def _text(loaded: Loaded) -> str:
    return ", ".join(loaded.config.upstream.servers)
