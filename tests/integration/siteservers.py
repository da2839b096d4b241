"""The servers of `zonedata`: the public tree, those of the site, and validating or caching resolvers before the program."""

from __future__ import annotations

import getpass
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pytest

from tests.integration.realservers import UNBOUND_SERVER, Nsd, RealServer, program
from tests.integration.zonedata import OTHERWISE_THEIRS, PUBLIC, SIGNED

_NAMED_CONF = """\
options {{
    directory "{directory}";
    pid-file none;
    session-keyfile none;
    managed-keys-directory "{directory}";
    listen-on port {port} {{ 127.0.0.1; }};
    listen-on-v6 {{ none; }};
    minimal-responses no;
    {options}
}};
controls {{ }};
{more}
"""
_UNBOUND_CONF = (
    UNBOUND_SERVER
    + """\
    interface: 127.0.0.1@{port}
    module-config: "iterator"
{names}
remote-control:
    control-enable: no
{zones}
"""
)
_RESOLVED_CONF = """\
[Resolve]
DNS=127.0.0.1:{forward_to}
Domains=~.
DNSSEC=no
CacheFromLocalhost=yes
DNSStubListener=no
DNSStubListenerExtra=127.0.0.1:{port}
LLMNR=no
MulticastDNS=no
ReadEtcHosts=no
ResolveUnicastSingleLabel=yes
"""
# It reads /etc/systemd and writes /run, which are made its own; the user that it becomes is the one that it is.
_RESOLVED = """\
set -e
mount --make-rprivate /
cp /etc/passwd "$1/passwd"
echo "systemd-resolve:x:0:0::/:/bin/false" >>"$1/passwd"
cp "$1/resolved.conf" "$1/etc/resolved.conf"
mount --bind "$1/passwd" /etc/passwd
mount --bind "$1/etc" /etc/systemd
mount --bind "$1/run" /run
exec "$2"
"""


class Tree:
    """The public tree, with signatures made by `dnssec-signzone`, and the key of its root."""

    def __init__(self, directory: Path) -> None:
        self.zones = dict(PUBLIC)
        self.anchor = ""
        for origin in SIGNED:
            self.anchor = self._sign(directory, origin)

    def _sign(self, directory: Path, origin: str) -> str:
        keygen = [program("dnssec-keygen"), "-q", "-a", "ECDSAP256SHA256", "-f", "KSK", origin]
        key = subprocess.run(keygen, cwd=directory, check=True, capture_output=True, text=True, timeout=60).stdout.strip()
        (directory / "unsigned").write_text(self.zones[origin])
        denial = ["-3", "-", "-H", "0"] if origin.startswith("nsec3") else []
        sign = [program("dnssec-signzone"), "-q", "-z", "-g", *denial, "-o", origin, "-k", key, "-f", "signed", "unsigned"]
        text = (directory / "unsigned").read_text() + f'$INCLUDE "{key}.key"\n'
        (directory / "unsigned").write_text(text)
        subprocess.run(sign, cwd=directory, check=True, capture_output=True, timeout=60)
        self.zones[origin] = (directory / "signed").read_text()
        return next(line for line in (directory / f"{key}.key").read_text().splitlines() if not line.startswith(";"))

    def serve(self, directory: Path) -> Nsd:
        """An nsd with all of the tree."""
        return Nsd(directory, self.zones)


class NamedZones(RealServer):
    """An authoritative `named` for `zones`: their text, by origin."""

    def __init__(self, directory: Path, zones: Mapping[str, str]) -> None:
        super().__init__("named", directory, *zones)
        self._zones = dict(zones)

    def _command(self) -> list[str]:
        more = ""
        for origin, text in self._zones.items():
            (self._directory / f"{origin}.zone").write_text(text)
            more += f'zone "{origin}" {{ type primary; file "{origin}.zone"; notify no; check-names ignore; }};\n'
        return named(self._directory, self.port, "empty-zones-enable no; recursion no; dnssec-validation no;", more)


class ValidatingNamed(RealServer):
    """A caching `named` that trusts the DNSKEY `anchor` of the root, and asks only the port `forward_to`."""

    def __init__(self, directory: Path, forward_to: int, anchor: str, insecure: Iterable[str] = ()) -> None:
        """`insecure`: negative trust anchors (RFC 7646)."""
        super().__init__("named", directory, "localhost.ready")
        self._forward_to, self._anchor, self._insecure = forward_to, anchor, insecure

    def _command(self) -> list[str]:
        flags, protocol, algorithm, *key = self._anchor.split("DNSKEY", 1)[1].split()
        names = "".join(f'"{name}"; ' for name in self._insecure)
        more = f'trust-anchors {{ "." static-key {flags} {protocol} {algorithm} "{"".join(key)}"; }};\n'
        (self._directory / "ready.zone").write_text("@ 60 IN SOA . . 1 1 1 1 1\n@ 60 IN NS .\n")
        more += 'zone "localhost.ready" { type primary; file "ready.zone"; };\n'
        forward = f"recursion yes; forward only; forwarders {{ 127.0.0.1 port {self._forward_to}; }};"
        options = f"empty-zones-enable no; {forward} dnssec-validation yes; validate-except {{ {names}}};"
        return named(self._directory, self.port, options, more)


class UnboundZones(RealServer):
    """An `unbound` that validates nothing, asks authoritative servers for `stubs`, and resolvers for `forwards`."""

    def __init__(self, directory: Path, stubs: Mapping[str, int], forwards: Mapping[str, int]) -> None:
        """Both: ports, by name."""
        super().__init__("unbound", directory, "localhost")
        self._stubs, self._forwards = stubs, forwards

    def _command(self) -> list[str]:
        names = "\n".join(f'    local-zone: "{name}" nodefault' for name in (*OTHERWISE_THEIRS, "priv"))
        zones = [f'stub-zone:\n    name: "{name}"\n    stub-addr: 127.0.0.1@{port}' for name, port in self._stubs.items()]
        zones += [
            f'forward-zone:\n    name: "{name}"\n    forward-addr: 127.0.0.1@{port}' for name, port in self._forwards.items()
        ]
        text = _UNBOUND_CONF.format(directory=self._directory, port=self.port, names=names, zones="\n".join(zones))
        (self._directory / "unbound.conf").write_text(text)
        return ["-d", "-c", str(self._directory / "unbound.conf")]


class DnsmasqZones(RealServer):
    """A `dnsmasq` that knows what `options` tell it, and asks no other server."""

    def __init__(self, directory: Path, options: Sequence[str], ready: str) -> None:
        """`ready`: a name that it knows."""
        super().__init__("dnsmasq", directory, ready)
        self._options = options

    def _command(self) -> list[str]:
        return [
            "--keep-in-foreground", "--conf-file=/dev/null", f"--port={self.port}", "--listen-address=127.0.0.1",
            "--bind-interfaces", "--no-resolv", "--no-hosts", f"--pid-file={self._directory / 'pid'}",
            f"--user={getpass.getuser()}", *self._options,
        ]  # fmt: skip


class Resolved(RealServer):
    """A `systemd-resolved` that asks only the port `forward_to`, in a mount namespace of its own and without a bus."""

    def __init__(self, directory: Path, forward_to: int) -> None:
        super().__init__("unshare", directory, "localhost")
        found = shutil.which("systemd-resolved", path="/usr/lib/systemd:/lib/systemd") or program("systemd-resolved")
        if subprocess.run([self._program, "-rm", "true"], capture_output=True, check=False).returncode:
            pytest.skip("no namespaces here")
        self._resolved, self._forward_to = found, forward_to

    def _command(self) -> list[str]:
        for name in ("etc", "run/systemd/resolve"):
            (self._directory / name).mkdir(parents=True, exist_ok=True)
        (self._directory / "resolved.conf").write_text(_RESOLVED_CONF.format(port=self.port, forward_to=self._forward_to))
        return ["-rm", "sh", "-c", _RESOLVED, "sh", str(self._directory), self._resolved]


def named(directory: Path, port: int, options: str, more: str) -> list[str]:
    """The arguments of a `named` whose configuration is written for it."""
    text = _NAMED_CONF.format(directory=directory, port=port, options=options, more=more)
    (directory / "named.conf").write_text(text)
    return ["-g", "-n", "1", "-c", str(directory / "named.conf")]
