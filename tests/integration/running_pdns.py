"""The real program for tests: `python -m pdns serve` in a process of its own, with real children, sockets and signals.

    with UpstreamThread() as upstream, RunningPdns(tmp_path, {"upstream": {"servers": [upstream.address]}}) as pdns:
        assert pdns.ask("www.example.net").answer
        assert pdns.value("queries_total", qtype="A") == 1

Every port is chosen by the kernel. When the block fails, what the program printed and logged is printed too.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import tomli_w
from prometheus_client.parser import text_string_to_metric_families

from pdns.telemetry.family import PREFIX
from tests.fakes.upstream import FakeUpstream, Handler

ROOT = Path(__file__).parents[2]
SINKHOLE = "192.0.2.1"
_PATIENCE_S = 120.0  # a busy machine is no failure
_POLL_S = 0.05

Series = tuple[str, tuple[tuple[str, str], ...]]


class RunningPdns:
    """One `pdns serve`. Configuration, log and state are in `directory`."""

    def __init__(
        self,
        directory: Path,
        config: Mapping[str, Any] | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        ready: bool = True,
        through: Sequence[str | Path] = (),
        stderr: Path | None = None,
    ) -> None:
        """`config` is laid over `base_config`, table by table. `ready=False`: `start` does not wait for /readyz to say yes.

        `through`: a command that runs the program with what it is given after its own arguments. `stderr`: logs to this file,
        which may be a FIFO, and is then not read here.
        """
        self.directory = directory
        self.config_path = directory / "pdns.toml"
        self.state_dir = directory / "state"
        self.dns_port = 0
        self.metrics_port = 0
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "error::ResourceWarning",
            **(environment or {}),
        }
        self._wait_ready = ready
        self._through = [str(part) for part in through]
        self._process: subprocess.Popen[bytes] | None = None
        self._out = directory / "stdout"
        self._err = directory / "stderr"
        self._log_to = stderr or self._err
        self.write_config(config or {})

    def base_config(self) -> dict[str, Any]:
        """What is configured unless a test says otherwise: loopback, ports by the kernel, an upstream that is not there."""
        return {
            "server": {"listen": ["127.0.0.1:0"], "drain_s": 2.0, "workers": 2},
            "upstream": {"servers": ["udp://127.0.0.1:9"], "timeout_s": 1.0},
            "state": {"dir": str(self.state_dir)},
            "metrics": {"listen": "127.0.0.1:0"},
            "log": {"level": "debug"},
        }

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Make the file say `config` laid over the base, as an editor would: another file, renamed into place."""
        tables = self.base_config()
        for name, section in config.items():
            tables[name] = {**tables.get(name, {}), **section} if isinstance(section, Mapping) else section
        self.write_text(tomli_w.dumps(tables))

    def write_text(self, text: str) -> None:
        """Make the file say `text`."""
        new = self.config_path.with_suffix(".new")
        new.write_text(text)
        new.replace(self.config_path)

    # Start and end.

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._print_output()
            self.kill()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None) -> None:
        if kind is not None:
            self._print_output()
        try:
            if self._process is not None and self._process.poll() is None:
                assert self.stop() == 0, "did not end well"
            if kind is None:
                assert not re.search("Traceback|Exception ignored|never awaited|ResourceWarning", self.log), "see the log"
        except BaseException:
            self._print_output()
            raise
        finally:
            self.kill()

    def start(self) -> None:
        """Start it, wait for the banner, learn the ports from it, and wait until it is ready."""
        self.launch()
        self.wait_for(lambda: "dig @" in self.output, "banner")
        self._learn_ports()
        if self._wait_ready:
            self.wait_for(lambda: self.get("/readyz")[0] == 200, "/readyz")

    def launch(self) -> subprocess.Popen[bytes]:
        """Start it, and wait for nothing."""
        self._out.write_bytes(b"")
        with self._out.open("ab") as out, self._log_to.open("ab") as err:
            self._process = subprocess.Popen(
                [*self._through, sys.executable, "-m", "pdns", "serve", "-c", str(self.config_path)],
                cwd=self.directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        return self._process

    def _learn_ports(self) -> None:
        port = re.search(r"-p (\d+)", self.output)
        metrics = re.search(r"metrics +http://\S+:(\d+)/", self.output)
        assert port is not None
        assert metrics is not None
        self.dns_port, self.metrics_port = int(port[1]), int(metrics[1])

    @property
    def is_up(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self, sig: signal.Signals = signal.SIGTERM, within_s: float = _PATIENCE_S) -> int:
        """Send `sig` and return the exit code."""
        self.send_signal(sig)
        return self.wait(within_s)

    def wait(self, within_s: float = _PATIENCE_S) -> int:
        """The exit code, once it has ended."""
        assert self._process is not None
        return self._process.wait(within_s)

    def kill(self) -> None:
        """End it the hard way, if it still runs. Its children end with it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def send_signal(self, sig: signal.Signals) -> None:
        """Send `sig` to the supervisor."""
        assert self._process is not None
        self._process.send_signal(sig)

    def reload(self) -> None:
        """Send SIGHUP, and return when the file is live."""
        before = self.value("config_last_reload_success_timestamp_seconds")
        self.send_signal(signal.SIGHUP)
        self.wait_for(lambda: self.value("config_last_reload_success_timestamp_seconds") > before, "reload")

    # Its processes.

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def children(self, module: str, parent: int = 0) -> list[int]:
        """The process ids of the children of `parent`, or of the supervisor, that run `module`."""
        parent = parent or self.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        return [int(child) for child in children if module in _command_line(int(child))]

    @property
    def worker_pids(self) -> list[int]:
        return self.children("pdns.worker")

    @property
    def worker_pid(self) -> int:
        """Of any worker, the only one when so configured; 0 while there is none."""
        return next(iter(self.worker_pids), 0)

    @property
    def feeds_pid(self) -> int:
        return next(iter(self.children("feeds.refresh")), 0)

    def kill_worker(self, sig: signal.Signals = signal.SIGKILL) -> int:
        """Send `sig` to the worker; returns which process that was."""
        pid = self.worker_pid
        assert pid
        os.kill(pid, sig)
        return pid

    # What it says.

    @property
    def output(self) -> str:
        """What it has printed."""
        return self._out.read_text()

    @property
    def log(self) -> str:
        """What it and its children have logged."""
        return self._err.read_text() if self._err.exists() else ""

    def get(self, path: str, accept: str = "", method: str = "GET") -> tuple[int, str]:
        """Status and text of a page; 0 and "" when nothing listens there."""
        request = Request(f"http://127.0.0.1:{self.metrics_port}{path}", headers={"Accept": accept}, method=method)
        try:
            with urlopen(request, timeout=5) as response:
                return response.status, response.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def scrape(self) -> dict[Series, float]:
        """All samples of /metrics, by name without the prefix and sorted labels."""
        status, text = self.get("/metrics")
        assert status == 200
        return {
            (sample.name.removeprefix(PREFIX), tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        """The sum of all samples of `name` that carry `labels`; 0.0 when there is none."""
        wanted = set(labels.items())
        return sum(value for (sample, has), value in self.scrape().items() if sample == name and wanted <= set(has))

    def ask(
        self, name: str, qtype: str = "A", *, tcp: bool = False, timeout_s: float = 60.0, where: str = "127.0.0.1", port: int = 0
    ) -> dns.message.Message:
        """The answer to a question, with EDNS. Raises `dns.exception.Timeout`."""
        query = dns.message.make_query(name, qtype, use_edns=0)
        send = dns.query.tcp if tcp else dns.query.udp
        return send(query, where, timeout=timeout_s, port=port or self.dns_port)

    def addresses(self, name: str, **how: Any) -> list[str]:
        """The addresses that `ask` finds."""
        return [str(record) for rrset in self.ask(name, **how).answer for record in rrset if rrset.rdtype == dns.rdatatype.A]

    def rcode(self, name: str, **how: Any) -> str:
        """The response code that `ask` gets, as text."""
        return dns.rcode.to_text(self.ask(name, **how).rcode())

    def wait_for(self, condition: Callable[[], Any], what: str, within_s: float = _PATIENCE_S) -> None:
        """Return when `condition()` holds; fail when it does not in time, or when the program has ended meanwhile."""
        until_s = time.monotonic() + within_s
        while not condition():
            assert self._process is not None
            assert self._process.poll() is None, f"ended with {self._process.returncode} while waiting for: {what}"
            assert time.monotonic() < until_s, f"not within {within_s} s: {what}"
            time.sleep(_POLL_S)

    def wait_for_value(self, expected: float, name: str, **labels: str) -> None:
        """Return when `value` is `expected`: for what is counted or written a moment after it shows elsewhere."""
        self.wait_for(lambda: self.value(name, **labels) == expected, f"{name} {labels} is {expected}")

    def wait_for_log(self, text: str, within_s: float = _PATIENCE_S, times: int = 1) -> None:
        """Return when the log holds `text`, so many times: each process writes its lines in a thread of their own."""
        self.wait_for(lambda: self.log.count(text) >= times, f"log: {text}", within_s)

    def log_lines(self) -> list[tuple[float, str]]:
        """Every line of the log that has a time: that, in seconds since the epoch, and the line."""
        lines = (line.split(" ", 1) for line in self.log.splitlines() if re.match(r"\d{4}-\d\d-\d\dT", line))
        return [(datetime.fromisoformat(time_text).timestamp(), text) for time_text, text in lines]

    def _print_output(self) -> None:
        print(f"--- stdout of pdns serve\n{self.output}\n--- stderr of pdns serve\n{self.log}")  # noqa: T201 (pytest shows it when the test fails)


class UpstreamThread:
    """A `FakeUpstream` on a loop and a thread of its own, for tests that are not asynchronous."""

    def __init__(self, handler: Handler | None = None) -> None:
        self.fake = FakeUpstream(handler)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.resume()
        return self

    def __exit__(self, *_exc: object) -> None:
        asyncio.run_coroutine_threadsafe(self.fake.__aexit__(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def resume(self) -> None:
        """Listen, on the same port as before."""
        asyncio.run_coroutine_threadsafe(self.fake.start(), self._loop).result(10)

    def pause(self) -> None:
        """Be gone."""
        asyncio.run_coroutine_threadsafe(self.fake.stop(), self._loop).result(10)

    @property
    def address(self) -> str:
        """As `upstream.servers` spells it."""
        return f"udp://127.0.0.1:{self.fake.port}"

    @property
    def names(self) -> list[str]:
        """What clients caused to be asked, oldest first."""
        return self.fake.names()


def feed(directory: Path, name: str, *lines: str, **keys: Any) -> dict[str, Any]:
    """A table for `[[feed]]`: a list of `lines` in a file of its own."""
    path = directory / f"{name}.txt"
    path.write_text("".join(f"{line}\n" for line in lines))
    return {"name": name, "url": path.as_uri(), "required": True, **keys}


def runs_python(user: int) -> bool:
    """Whether a process of this one may become `user`, and run this Python then."""
    try:
        command = [sys.executable, "-c", "import ssl"]
        return subprocess.run(command, user=user, group=user, extra_groups=[], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def is_running(pid: int) -> bool:
    """Whether process `pid` is there, and not a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
