"""The resolver of the demo: `pdns serve` as anybody runs it, a process of its own with a configuration of its own."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from aiohttp import ClientError, ClientSession

from pdns.demo import world
from pdns.demo.certificates import self_signed
from pdns.demo.encrypted import SERVER_NAME, listeners
from pdns.demo.ports import free_port
from pdns.errors import PdnsError

UPSTREAM_TIMEOUT_S = 1
SERVFAIL_TTL_S = 1

_PR_SET_PDEATHSIG = 1
_READY_WITHIN_S = 30.0
_STOPPED_WITHIN_S = 15.0
_LOG_LINES_SHOWN = 20


class ResolverFailed(PdnsError):
    """`pdns serve` did not start, or is gone. The text ends with the last lines of its log."""


def configuration(
    port: int, metrics_port: int, upstream_port: int, feed_urls: Mapping[str, str], encrypted_ports: tuple[int, int]
) -> str:
    """The TOML of the demo: three feeds, three tenants, everything on 127.0.0.1. State is kept beside the file.
    `encrypted_ports`: for TLS and HTTPS.
    """
    parts = [
        f"""\
[server]
listen = ["127.0.0.1:{port}"]

[upstream]
servers = ["udp://127.0.0.1:{upstream_port}"]
timeout_s = {UPSTREAM_TIMEOUT_S}

[cache]
servfail_ttl_s = {SERVFAIL_TTL_S}

[block]
action = "sinkhole"
sinkhole = ["{world.SINKHOLE_V4}", "{world.SINKHOLE_V6}"]

[state]
dir = "state"

[metrics]
listen = "127.0.0.1:{metrics_port}"
"""
    ]
    parts.append(listeners(*encrypted_ports))
    for name, url in feed_urls.items():
        category = "c2" if name == "botnet" else name
        parts.append(
            f"""
[[feed]]
name = "{name}"
url = "{url}"
category = "{category}"
required = true
"""
        )
    for tenant, network in world.TENANTS.items():
        allow = f'allow = ["{world.EXEMPT}"]\n' if tenant == world.EXEMPT_TENANT else ""
        parts.append(f'\n[[tenant]]\nname = "{tenant}"\nnetworks = ["{network}.0/24"]\n{allow}')
    return "".join(parts)


def _end_with_parent() -> None:
    """SIGTERM when the demo dies, however it does. Called in the new process before it is `pdns serve`."""
    with suppress(ImportError, OSError, AttributeError, MemoryError):
        import ctypes  # noqa: PLC0415 (not every Python has it)

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class DemoResolver:
    """One `pdns serve` whose configuration, log and state are in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.metrics_port = free_port()
        self.encrypted_ports = {"tls": free_port(), "https": free_port()}
        self._process: asyncio.subprocess.Process | None = None

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.port)

    def url(self, path: str) -> str:
        """Of `/metrics`, `/healthz` or `/readyz`."""
        return f"http://127.0.0.1:{self.metrics_port}{path}"

    async def start(self, upstream_port: int, feed_urls: Mapping[str, str], session: ClientSession) -> float:
        """Starts, and returns after how many seconds it was ready. Raises `ResolverFailed`."""
        config = self.directory / "pdns.toml"
        self_signed(self.directory, SERVER_NAME)
        ports = self.encrypted_ports["tls"], self.encrypted_ports["https"]
        config.write_text(configuration(self.port, self.metrics_port, upstream_port, feed_urls, ports))
        with (self.directory / "serve.log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "pdns", "serve", "-c", str(config)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the demo, which then stops this one
                preexec_fn=_end_with_parent,
            )
        loop = asyncio.get_running_loop()
        began = loop.time()
        while loop.time() - began < _READY_WITHIN_S:
            self.check()
            with suppress(ClientError, TimeoutError):
                async with session.get(self.url("/readyz")) as response:
                    if response.status == 200:
                        return loop.time() - began
            await asyncio.sleep(0.05)
        raise self._failed(f"not ready within {_READY_WITHIN_S:.0f} s")

    def check(self) -> None:
        """Raises `ResolverFailed` when the process is gone."""
        if self._process is not None and self._process.returncode is not None:
            raise self._failed(f"ended with exit code {self._process.returncode}")

    def ask_to_update_feeds(self) -> None:
        """The same as `pdns feeds update`."""
        requests = self.directory / "state" / "requests"
        requests.mkdir(parents=True, exist_ok=True)
        (requests / "update").touch()

    async def stop(self) -> int | None:
        """Ends it as `systemctl stop` would, and returns its exit code; None when it never ran."""
        if self._process is None:
            return None
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.terminate()
            try:
                async with asyncio.timeout(_STOPPED_WITHIN_S):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        return self._process.returncode

    def _failed(self, what: str) -> ResolverFailed:
        lines = (self.directory / "serve.log").read_text(errors="replace").splitlines()
        return ResolverFailed("\n".join([f"pdns serve: {what}", *lines[-_LOG_LINES_SHOWN:]]))
