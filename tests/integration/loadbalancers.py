"""Real load balancers that send PROXY protocol headers, on loopback. Where one is not installed the test is skipped."""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path

from tests.integration.realservers import RealServer

ADDRESS = "127.0.0.2"  # from which they ask
CHECK_S = 1
PATIENCE_S = 60.0
_HAPROXY_CONF = """\
defaults
    mode tcp
    timeout connect 30s
    timeout client 60s
    timeout server 60s
frontend dns
    bind 127.0.0.1:{port}
    default_backend resolvers
backend resolvers
    server one 127.0.0.1:{to} source {address} send-proxy-v2 {options} check inter {check_s}s
"""
_DNSDIST_CONF = """\
setSecurityPollSuffix("")
setACL({{"127.0.0.0/8"}})
setLocal("127.0.0.1:{port}")
newServer({{address="127.0.0.1:{to}", source="{address}", useProxyProtocol=true, tcpOnly={tcp_only},
    checkName="check.example.", checkInterval={check_s}, checkTimeout=30000}})
"""


class Haproxy(RealServer):
    """An `haproxy` that passes TCP on to the port `to`, and checks its health; `options` of its headers."""

    def __init__(self, directory: Path, to: int, options: str = "") -> None:
        super().__init__("haproxy", directory)
        self._to, self._options = to, options

    def _command(self) -> list[str]:
        path = self._directory / "haproxy.cfg"
        path.write_text(
            _HAPROXY_CONF.format(port=self.port, to=self._to, address=ADDRESS, options=self._options, check_s=CHECK_S)
        )
        return ["-db", "-f", str(path)]

    def _answers(self) -> bool:
        assert self._process is not None
        until_s = time.monotonic() + PATIENCE_S
        while self._process.poll() is None and time.monotonic() < until_s:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port)).close()
                return True
            time.sleep(0.02)
        return False


class Dnsdist(RealServer):
    """A `dnsdist` that passes queries on to the port `to`, and checks its health; those over UDP too if `tcp_only` as TCP."""

    def __init__(self, directory: Path, to: int, *, tcp_only: bool = False) -> None:
        super().__init__("dnsdist", directory, "check.example")
        self._to, self._tcp_only = to, tcp_only

    def _command(self) -> list[str]:
        path = self._directory / "dnsdist.conf"
        tcp_only = str(self._tcp_only).lower()
        path.write_text(_DNSDIST_CONF.format(port=self.port, to=self._to, address=ADDRESS, tcp_only=tcp_only, check_s=CHECK_S))
        return ["--supervised", "--disable-syslog", "-C", str(path)]
