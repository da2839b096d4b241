"""Sockets that are handed in (LISTEN_FDS), by systemd-socket-activate and by a launcher. `test_systemd.py` has a real systemd."""

from __future__ import annotations

import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from loadtest.loopback import free_port
from tests.integration.running_pdns import RunningPdns, UpstreamThread

# Opens a pair of UDP and a TCP socket for each address, and becomes the program.
LAUNCHER = """
import os, socket, sys
fds = []
end = sys.argv.index("--")
for text in sys.argv[1:end]:
    host, port = text.rsplit(":", 1)
    for kind in (socket.SOCK_DGRAM, socket.SOCK_DGRAM, socket.SOCK_STREAM):
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, int(port)))
        if kind == socket.SOCK_STREAM:
            sock.listen(8)
        fds.append(sock.detach())
for target, fd in enumerate(fds, 3):
    os.dup2(fd, target)
    os.set_inheritable(target, True)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(fds)), "LISTEN_FDNAMES": ":".join(["dns"] * len(fds))}
os.execvp(sys.argv[end + 1], sys.argv[end + 1:])
"""


def config(upstream: UpstreamThread, *listen: str) -> dict[str, Any]:
    return {"server": {"listen": list(listen)}, "upstream": {"servers": [upstream.address]}}


def test_sockets_of_a_launcher(tmp_path: Path) -> None:
    """Pairs of UDP and TCP, IPv4 and IPv6, are answered on; reloads and upgrades keep them; a reload cannot drop them."""
    port, other = free_port(), free_port()
    through = [sys.executable, "-c", LAUNCHER, f"127.0.0.1:{port}", f"::1:{port}", "--"]
    listen = (f"127.0.0.1:{port}", f"[::1]:{port}")
    with UpstreamThread() as upstream, RunningPdns(tmp_path, config(upstream, *listen), through=through) as pdns:

        def all_answered(turn: str) -> bool:
            where = [("127.0.0.1", False), ("127.0.0.1", True), ("::1", False), ("::1", True)]
            return all(
                pdns.addresses(f"{turn}{number}.example.net", tcp=tcp, where=host, port=port)
                for host, tcp in where
                for number in range(8)
            )

        assert all_answered("first")
        pdns.write_config(config(upstream, *listen, f"127.0.0.1:{other}"))
        pdns.reload()
        assert all_answered("second")
        assert pdns.addresses("third.example.net", port=other)
        pdns.write_config(config(upstream, listen[0]))
        pdns.send_signal(signal.SIGHUP)
        pdns.wait_for_log(f"a socket for [::1]:{port} (UDP, from dns), and server.listen does not have this address")
        assert all_answered("fourth")
        pdns.write_config(config(upstream, *listen))
        pdns.reload()
        pdns.send_signal(signal.SIGUSR2)
        pdns.wait_for_log("the workers and feeds are new processes")
        assert all_answered("fifth")


def test_a_socket_too_many(tmp_path: Path) -> None:
    """The start fails if a socket fits no address of the configuration, and says which."""
    port = free_port()
    through = [sys.executable, "-c", LAUNCHER, f"127.0.0.2:{port}", "--"]
    with UpstreamThread() as upstream:
        pdns = RunningPdns(tmp_path, config(upstream, f"127.0.0.1:{port}"), through=through)
        pdns.launch()
        assert pdns.wait() == 1
        assert f"systemd handed in a socket for 127.0.0.2:{port} (UDP, from dns)" in pdns.log


@pytest.mark.skipif(shutil.which("systemd-socket-activate") is None, reason="systemd is not installed")
def test_systemd_socket_activate(tmp_path: Path) -> None:
    """The first connection to the metrics starts the program, which then answers it."""
    port = free_port()
    activate = ["systemd-socket-activate", f"--listen=127.0.0.1:{port}", "--fdname=metrics", "-E", "PYTHONPATH"]
    with UpstreamThread() as upstream:
        table = {**config(upstream, "127.0.0.1:0"), "metrics": {"listen": f"127.0.0.1:{port}"}}
        pdns = RunningPdns(tmp_path, table, through=activate)
        pdns.launch()
        try:
            pdns.metrics_port = port
            until_s = time.monotonic() + 60
            while pdns.get("/healthz")[0] != 200:
                assert time.monotonic() < until_s, pdns.log
                time.sleep(0.05)
            while f"http://127.0.0.1:{port}/metrics" not in pdns.output:  # the banner comes after the first answer
                assert time.monotonic() < until_s, pdns.log
                time.sleep(0.05)
            assert pdns.stop() == 0
        finally:
            pdns.kill()
