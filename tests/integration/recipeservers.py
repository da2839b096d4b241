"""Servers with the configuration files that docs/recipes.md shows for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from tests.integration.realservers import UNBOUND_SERVER, RealServer
from tests.integration.siteservers import named

_UNBOUND = (
    UNBOUND_SERVER
    + """\
{more}
remote-control:
    control-enable: no
"""
)


def at(text: str, port: int, separator: str) -> str:
    """`text` with a port of this machine for the resolver's first address, and without its second."""
    text = re.sub(r"^ *forward-addr: 10\.20\.0\.54\n|10\.20\.0\.54; ", "", text, flags=re.MULTILINE)
    return text.replace("10.20.0.53", f"127.0.0.1{separator}{port}")


class UnboundWith(RealServer):
    """An `unbound` with the file of a recipe and `more` beside it, which has the lines of `server:` first."""

    def __init__(self, directory: Path, text: str, more: str = "") -> None:
        super().__init__("unbound", directory, "localhost")
        self._text, self._more = text, more

    def _command(self) -> list[str]:
        text = re.sub(r"127\.0\.0\.1@5335", f"127.0.0.1@{self.port}", self._text)
        if "interface:" not in text:
            text = text.replace("server:\n", f"server:\n    interface: 127.0.0.1@{self.port}\n", 1)
        (self._directory / "unbound.conf").write_text(_UNBOUND.format(directory=self._directory, more=self._more) + text)
        return ["-d", "-c", str(self._directory / "unbound.conf")]


class NamedWith(RealServer):
    """A validating `named` with the `options` of a recipe, which trusts the DNSKEY `anchor` of the root."""

    def __init__(self, directory: Path, text: str, anchor: str) -> None:
        super().__init__("named", directory, "localhost.ready")
        self._options = text.strip().removeprefix("options {").removesuffix("};")
        self._anchor = anchor

    def _command(self) -> list[str]:
        flags, protocol, algorithm, *key = self._anchor.split("DNSKEY", 1)[1].split()
        more = f'trust-anchors {{ "." static-key {flags} {protocol} {algorithm} "{"".join(key)}"; }};\n'
        (self._directory / "ready.zone").write_text("@ 60 IN SOA . . 1 1 1 1 1\n@ 60 IN NS .\n")
        more += 'zone "localhost.ready" { type primary; file "ready.zone"; };\n'
        return named(self._directory, self.port, f"empty-zones-enable yes; dnssec-validation yes;{self._options}", more)


class Controller(RealServer):
    """A `named` in the place of a domain controller: it serves `zones`, and forwards all other names to the port `forward_to`."""

    def __init__(self, directory: Path, zones: Mapping[str, str], forward_to: int) -> None:
        super().__init__("named", directory, *zones)
        self._zones, self._forward_to = zones, forward_to

    def _command(self) -> list[str]:
        more = ""
        for origin, text in self._zones.items():
            (self._directory / f"{origin}.zone").write_text(text)
            more += f'zone "{origin}" {{ type primary; file "{origin}.zone"; notify no; check-names ignore; }};\n'
        forward = f"recursion yes; forward only; forwarders {{ 127.0.0.1 port {self._forward_to}; }};"
        return named(self._directory, self.port, f"empty-zones-enable no; dnssec-validation no; {forward}", more)


class CoreDns(RealServer):
    """A `coredns` with the Corefile of a recipe, but for what needs a cluster or a port of its own."""

    def __init__(self, directory: Path, text: str, forward_to: int) -> None:
        super().__init__("coredns", directory, ".")
        text = re.sub(r"^ {4}kubernetes .*?^ {4}\}\n|^ {4}ready\n", "", text, flags=re.MULTILINE | re.DOTALL)
        self._text = text.replace("10.20.0.53 10.20.0.54", f"127.0.0.1:{forward_to}")

    def _command(self) -> list[str]:
        (self._directory / "Corefile").write_text(self._text.replace(".:53 {", f".:{self.port} {{\n    bind 127.0.0.1"))
        return ["-conf", str(self._directory / "Corefile")]


class DnsDist(RealServer):
    """A `dnsdist` with the file of a recipe."""

    def __init__(self, directory: Path, text: str, forward_to: int) -> None:
        super().__init__("dnsdist", directory, "www.public.example")
        text = re.sub(r"^.*10\.20\.0\.54.*\n", "", text, flags=re.MULTILINE)
        self._text = text.replace("10.20.0.53:53", f"127.0.0.1:{forward_to}").replace("10.30.0.0/16", "127.0.0.0/8")
        self._text = self._text.replace("www.example.org.", "www.public.example.") + 'setSecurityPollSuffix("")\n'

    def _command(self) -> list[str]:
        (self._directory / "dnsdist.conf").write_text(self._text.replace("10.20.0.10:53", f"127.0.0.1:{self.port}"))
        return ["--supervised", "--disable-syslog", "-C", str(self._directory / "dnsdist.conf")]


class HaProxy(RealServer):
    """A `haproxy` with the file of a recipe: over TCP alone."""

    def __init__(self, directory: Path, text: str, forward_to: int) -> None:
        super().__init__("haproxy", directory)
        text = re.sub(r"^.*10\.20\.0\.54.*\n", "", text, flags=re.MULTILINE)
        self._text = text.replace("10.20.0.53:53", f"127.0.0.1:{forward_to}")

    def _command(self) -> list[str]:
        (self._directory / "haproxy.cfg").write_text(self._text.replace("10.20.0.10:53", f"127.0.0.1:{self.port}"))
        return ["-db", "-f", str(self._directory / "haproxy.cfg")]
