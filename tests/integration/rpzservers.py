"""Resolvers of others that load response policy zones: BIND, unbound and PowerDNS Recursor, each behind the same upstream."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.integration.realservers import UNBOUND_SERVER, RealServer

_NAMED = """\
options {{
    directory "{directory}";
    pid-file none;
    session-keyfile none;
    listen-on port {port} {{ 127.0.0.1; }};
    listen-on-v6 {{ none; }};
    recursion yes;
    allow-recursion {{ any; }};
    forward only;
    forwarders {{ 127.0.0.1 port {forward_to}; }};
    dnssec-validation no;
    minimal-responses yes;
    empty-zones-enable no;
    response-policy {{ {policies} }} qname-wait-recurse no min-update-interval 0;
}};
controls {{ }};
"""
_UNBOUND = (
    UNBOUND_SERVER
    + """\
    interface: 127.0.0.1@{port}
    module-config: "respip iterator"
    ede: no
    local-zone: "test" nodefault
remote-control:
    control-enable: no
{policies}
forward-zone:
    name: "."
    forward-addr: 127.0.0.1@{forward_to}
"""
)
_RECURSOR = """\
daemon=no
disable-syslog=yes
quiet=yes
local-address=127.0.0.1
local-port={port}
config-dir={directory}
socket-dir=.
threads=1
dnssec=off
root-nx-trust=no
hint-file=no
forward-zones-recurse=.=127.0.0.1:{forward_to}
dont-query=
lua-config-file={directory}/rpz.lua
write-pid=no
"""


class RpzServer(RealServer):
    """A caching resolver with `zones`: their text, by name, the first of which goes before the others."""

    def __init__(self, program: str, directory: Path, forward_to: int, zones: Mapping[str, str], probe: str) -> None:
        """`probe`: a name with an SOA record at the upstream, which no zone has anything about."""
        super().__init__(program, directory, probe)
        self._forward_to = forward_to
        self._zones = dict(zones)
        for name, text in zones.items():
            (directory / f"{name}.zone").write_text(text)

    def _write(self, name: str, text: str, policies: str = "") -> str:
        path = self._directory / name
        path.write_text(text.format(directory=self._directory, port=self.port, forward_to=self._forward_to, policies=policies))
        return str(path)


class RpzNamed(RpzServer):
    """BIND."""

    def __init__(self, directory: Path, forward_to: int, zones: Mapping[str, str], probe: str) -> None:
        super().__init__("named", directory, forward_to, zones, probe)

    def _command(self) -> list[str]:
        policies = " ".join(f'zone "{name}";' for name in self._zones)
        zones = "".join(f'zone "{name}" {{{{ type primary; file "{name}.zone"; }}}};\n' for name in self._zones)
        return ["-g", "-n", "1", "-c", self._write("named.conf", _NAMED + zones, policies)]


class RpzUnbound(RpzServer):
    """unbound."""

    def __init__(self, directory: Path, forward_to: int, zones: Mapping[str, str], probe: str) -> None:
        super().__init__("unbound", directory, forward_to, zones, probe)

    def _command(self) -> list[str]:
        policies = "".join(f'rpz:\n    name: "{name}"\n    zonefile: "{name}.zone"\n' for name in self._zones)
        return ["-d", "-c", self._write("unbound.conf", _UNBOUND, policies)]


class RpzRecursor(RpzServer):
    """PowerDNS Recursor."""

    def __init__(self, directory: Path, forward_to: int, zones: Mapping[str, str], probe: str) -> None:
        super().__init__("pdns_recursor", directory, forward_to, zones, probe)

    def _command(self) -> list[str]:
        files = "".join(f'rpzFile("{self._directory}/{name}.zone", {{policyName="{name}"}})\n' for name in self._zones)
        (self._directory / "rpz.lua").write_text(files)
        self._write("recursor.conf", _RECURSOR)
        said = subprocess.run([self._program, "--version"], capture_output=True, text=True, timeout=60, check=False)
        version = re.search(r"Recursor (\d+)\.(\d+)", said.stdout + said.stderr)
        assert version is not None, said
        wants_yaml = (int(version[1]), int(version[2])) >= (5, 2)  # and takes the other syntax only if told so
        return [f"--config-dir={self._directory}", *(["--enable-old-settings"] if wants_yaml else [])]
