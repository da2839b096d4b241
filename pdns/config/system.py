"""Properties of this machine: its name servers, its addresses, the default state directory."""

from __future__ import annotations

import ipaddress
import os
import socket
from pathlib import Path
from typing import Final

from pdns.config.addresses import DNS_PORT, Endpoint, parse_address
from pdns.config.upstream_address import UpstreamAddress, parse_upstream
from pdns.errors import InvalidAddress

RESOLV_CONF: Final = Path("/etc/resolv.conf")


def system_servers(resolv_conf: Path) -> list[UpstreamAddress]:
    """The name servers that `resolv_conf` lists (resolv.conf(5)); none if the file is missing."""
    try:
        lines = resolv_conf.read_text(errors="replace").splitlines()
    except OSError:
        return []
    servers = []
    for words in map(str.split, lines):
        if len(words) > 1 and words[0] == "nameserver":
            try:
                servers.append(parse_upstream(f"udp://{Endpoint(str(parse_address(words[1])), 53)}"))
            except InvalidAddress:
                continue
    return servers


def is_local(host: str) -> bool:
    """Whether `host` is an address of this machine: the kernel then uses it as the source address too."""
    address = ipaddress.ip_address(host)
    if address.is_loopback:
        return True
    try:
        with socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.connect((host, DNS_PORT))  # sends nothing
            return ipaddress.ip_address(probe.getsockname()[0]) == address
    except OSError:
        return False


def default_state_dir() -> str:
    """The default state directory: from systemd, else the user's own."""
    if given := os.environ.get("STATE_DIRECTORY", "").partition(":")[0]:
        return given
    base = os.environ.get("XDG_STATE_HOME", "")
    return f"{base}/pdns" if base.startswith("/") else "~/.local/state/pdns"
