"""Real forwarders of others that ask over DNS over TLS, and check name and certificate."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path
from typing import Final

import pytest

from tests.integration.encryptedserving import NAME
from tests.integration.realservers import UNBOUND_SERVER, RealServer

_TRIED: Final = "ready.example.net"  # has an answer
RESOLVED: Final = Path(__file__).parents[2] / "build/systemd-resolved/lib/systemd/systemd-resolved"
_STUBBY = """\
resolution_type: GETDNS_RESOLUTION_STUB
dns_transport_list: [GETDNS_TRANSPORT_TLS]
tls_authentication: GETDNS_AUTHENTICATION_REQUIRED
tls_query_padding_blocksize: 128
tls_ca_file: "{ca_file}"
idle_timeout: 10000
listen_addresses:
  - 127.0.0.1@{port}
upstream_recursive_servers:
  - address_data: 127.0.0.1
    tls_port: {to}
    tls_auth_name: "{name}"
"""
_UNBOUND = (
    UNBOUND_SERVER
    + """\
    interface: 127.0.0.1@{port}
    module-config: "iterator"
    tls-cert-bundle: "{ca_file}"
remote-control:
    control-enable: no
forward-zone:
    name: "."
    forward-tls-upstream: yes
    forward-addr: 127.0.0.1@{to}#{name}
"""
)
_DNSDIST = """\
setLocal("127.0.0.1:{port}")
setACL("127.0.0.0/8")
setSecurityPollSuffix("")
newServer({{
    address="127.0.0.1:{to}", tls="openssl", subjectName="{name}", caStore="{ca_file}", validateCertificates=true,
    checkName="{tried}", healthCheckMode="auto",
}})
"""
_RESOLVED = """\
[Resolve]
DNS=127.0.0.1:{to}#{name}
FallbackDNS=
Domains=~.
DNSOverTLS=yes
DNSSEC=no
LLMNR=no
MulticastDNS=no
DNSStubListener=no
DNSStubListenerExtra=127.0.0.1:{port}
"""
_IN_A_ROOM = """\
set -e
mount -t tmpfs tmpfs /run
install -d -o {user} -g {user} /run/systemd/resolve
mount --bind etc /etc/systemd
mount --bind passwd /etc/passwd
mount --bind group /etc/group
mount --bind ca.pem /etc/ssl/certs/ca-certificates.crt
exec "$0"
"""
_USER: Final = 64993  # of systemd-resolve, in its own /etc/passwd


class DotForwarder(RealServer):
    """Forwards what it is asked to the DNS over TLS port `to`, whose certificate `ca_file` vouches for."""

    def __init__(self, program: str, directory: Path, to: int, ca_file: Path, name: str = NAME) -> None:
        super().__init__(program, directory, *self.asks)
        self._to, self._ca_file, self._name = to, ca_file, name

    asks: tuple[str, ...] = (_TRIED,)

    def _filled(self, template: str, file: str) -> str:
        text = template.format(
            directory=self._directory, port=self.port, to=self._to, ca_file=self._ca_file, name=self._name, tried=_TRIED
        )
        path = self._directory / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return str(path)


class Stubby(DotForwarder):
    def __init__(self, directory: Path, to: int, ca_file: Path, name: str = NAME) -> None:
        super().__init__("stubby", directory, to, ca_file, name)

    def _command(self) -> list[str]:
        return ["-C", self._filled(_STUBBY, "stubby.yml")]


class UnboundOverTls(DotForwarder):
    def __init__(self, directory: Path, to: int, ca_file: Path, name: str = NAME) -> None:
        super().__init__("unbound", directory, to, ca_file, name)

    def _command(self) -> list[str]:
        return ["-d", "-c", self._filled(_UNBOUND, "unbound.conf")]


class DnsdistOverTls(DotForwarder):
    def __init__(self, directory: Path, to: int, ca_file: Path, name: str = NAME) -> None:
        super().__init__("dnsdist", directory, to, ca_file, name)

    def _command(self) -> list[str]:
        return ["--supervised", "--disable-syslog", "-C", self._filled(_DNSDIST, "dnsdist.conf")]


class Resolved(DotForwarder):
    """systemd-resolved, with files of its own in a mount namespace. Needs root."""

    def __init__(self, directory: Path, to: int, ca_file: Path, name: str = NAME) -> None:
        if os.geteuid() or not RESOLVED.exists():
            pytest.skip("systemd-resolved is not unpacked, or this is not root")
        super().__init__("unshare", directory, to, ca_file, name)

    def _command(self) -> list[str]:
        self._filled(_RESOLVED, "etc/resolved.conf")
        shutil.copy(self._ca_file, self._directory / "ca.pem")
        own = pwd.getpwuid(os.geteuid()).pw_name
        user = f"systemd-resolve:x:{_USER}"
        (self._directory / "passwd").write_text(f"{own}:x:0:0::/:/bin/sh\n{user}:{_USER}::/:/bin/false\n")
        (self._directory / "group").write_text(f"{own}:x:0:\n{user}:\n")
        return ["--mount", "sh", "-c", _IN_A_ROOM.format(user=_USER), str(RESOLVED)]
