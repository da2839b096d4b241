"""`pdns demo`: runs the whole program on this machine, with its own upstream, feeds and traffic."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from aiohttp import ClientError, ClientSession, ClientTimeout
from rich.console import Console
from rich.live import Live

from pdns.demo import table, world
from pdns.demo.authority import Authority
from pdns.demo.certificates import CERTIFICATE
from pdns.demo.encrypted import ask_encrypted
from pdns.demo.feeds import FORMATS, FeedServer
from pdns.demo.resolver import DemoResolver, ResolverFailed
from pdns.demo.scrape import Scrape, scrape
from pdns.demo.story import Story, upstream_away_s
from pdns.demo.traffic import Crowd
from pdns.errors import PdnsError

_LONG_TTL_S = 300
_SCREEN_EVERY_S = 0.5
_LINE_EVERY_S = 2.0
_OVER = "the traffic is over, everything is counted"
_COUNTED_WITHIN_S = 10.0
_ENCRYPTED_EACH = 2  # questions over each encrypted transport
_NEWS_OF_DEATH_S = 0.2  # what a dead resolver left in its log says more than a refused connection


def command(
    seconds: Annotated[float, typer.Option(min=5, max=3600, help="How long to play traffic")] = 20,
    rate: Annotated[float, typer.Option(min=10, max=2000, help="Questions a second")] = 200,
    leave: Annotated[bool, typer.Option("--exit", help="Exit when the traffic ends; 0 if all answers were right")] = False,
) -> None:
    """Show the resolver at work, with its own upstream, feeds, tenants and traffic. Needs no network."""
    raise typer.Exit(asyncio.run(_demo(seconds, rate, Console(highlight=False), leave=leave)))


async def _demo(seconds: float, rate: float, console: Console, *, leave: bool) -> int:
    loop = asyncio.get_running_loop()
    failures: list[Exception] = []
    try:
        async with asyncio.TaskGroup() as tasks:
            show = tasks.create_task(_Show(seconds, rate, console, leave=leave).run())

            def end() -> None:
                if not show.cancelling():  # a second one must not leave the resolver behind
                    show.cancel()

            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                loop.add_signal_handler(number, end)
    except* (PdnsError, OSError, ClientError) as group:
        failures = list(_leaves(group))
    for failure in failures:
        console.print(str(failure), style="red", markup=False, soft_wrap=True)
    if failures:
        return 1
    return 130 if show.cancelled() else show.result()


def _leaves(group: BaseExceptionGroup[Exception]) -> Iterator[Exception]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


class _Show:
    """One run of the demo, from an empty directory to the verdict."""

    def __init__(self, seconds: float, rate: float, console: Console, *, leave: bool) -> None:
        self._seconds = seconds
        self._rate = rate
        self._console = console
        self._leave = leave
        short_ttl_s = max(1, int(upstream_away_s(seconds) * 0.7))
        self._authority = Authority(lambda owner: short_ttl_s if owner in world.SHORT_TTL_NAMES else _LONG_TTL_S)
        self._feeds = FeedServer()
        self._encrypted = 0  # questions over encrypted transports

    async def run(self) -> int:
        """Returns 0 when every answer was right and the metrics agree, else 1."""
        async with AsyncExitStack() as stack:
            directory = stack.enter_context(TemporaryDirectory(prefix="pdns-demo-"))
            session = await stack.enter_async_context(ClientSession(timeout=ClientTimeout(total=5)))
            await self._authority.start()
            stack.callback(self._authority.stop)
            await self._feeds.start()
            stack.push_async_callback(self._feeds.stop)

            resolver = DemoResolver(Path(directory))
            stack.push_async_callback(resolver.stop)
            ready_s = await resolver.start(self._authority.port, self._feeds.urls, session)
            crowd = Crowd(resolver.address)
            stack.callback(crowd.close)
            await crowd.open()

            async def read() -> Scrape:
                try:
                    return await scrape(session, resolver.url("/metrics"))
                except ClientError:
                    await asyncio.sleep(_NEWS_OF_DEATH_S)
                    resolver.check()
                    raise

            reading = await read()
            self._print(
                f"The resolver on 127.0.0.1:{resolver.port} was ready after {ready_s:.1f} s, with"
                f" {reading.total('blockset_entries'):.0f} names of {len(FORMATS)} feeds ({', '.join(FORMATS.values())})."
            )
            await self._ask_encrypted(resolver)
            story = Story(self._seconds, crowd, self._feeds, self._authority, resolver, read)
            reading = await self._play(story, crowd, resolver)
            code = self._verdict(reading, crowd, story)
            if not self._leave:
                await self._stay(resolver)
            exit_code = await resolver.stop()
            if exit_code:
                self._print(f"pdns serve ended with exit code {exit_code}")
            return code or int(exit_code != 0)

    async def _ask_encrypted(self, resolver: DemoResolver) -> None:
        """Ask over TLS and HTTPS, with the certificate verified."""
        for transport, port in resolver.encrypted_ports.items():
            for name in world.BENIGN_NAMES[:_ENCRYPTED_EACH]:
                rcode = await ask_encrypted(transport, port, name, resolver.directory)
                self._encrypted += 1
                if rcode:
                    raise ResolverFailed(f"{name} over {transport}: response code {rcode}")
        ports = " and ".join(f"{transport} (port {port})" for transport, port in resolver.encrypted_ports.items())
        self._print(f"{self._encrypted} questions over {ports} were answered, and its certificate was verified.")

    async def _play(self, story: Story, crowd: Crowd, resolver: DemoResolver) -> Scrape:
        """Plays the traffic and shows it. Returns the reading of the last frame, taken when everything is counted."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + self._seconds
        async with asyncio.TaskGroup() as tasks:
            telling = tasks.create_task(story.tell())
            playing = tasks.create_task(crowd.play(self._rate, lambda: telling.done() and loop.time() >= ends))
            if self._console.is_terminal:
                with Live(console=self._console, auto_refresh=False) as live:
                    while not playing.done():
                        resolver.check()
                        elapsed_s = self._seconds - ends + loop.time()
                        seen = table.Frame(elapsed_s, self._seconds, await story.read(), _clients(crowd), story.now)
                        live.update(seen, refresh=True)
                        await asyncio.wait([playing], timeout=_SCREEN_EVERY_S)
                    reading = await self._settled(story, crowd)
                    live.update(table.Frame(self._seconds, self._seconds, reading, _clients(crowd), _OVER), refresh=True)
            else:
                while not playing.done():
                    resolver.check()
                    elapsed_s = self._seconds - ends + loop.time()
                    self._print(table.line(elapsed_s, await story.read(), _clients(crowd), story.now))
                    await asyncio.wait([playing], timeout=_LINE_EVERY_S)
                reading = await self._settled(story, crowd)
                self._print(table.line(self._seconds, reading, _clients(crowd), _OVER))
        return reading

    async def _settled(self, story: Story, crowd: Crowd) -> Scrape:
        """The metrics, read once the distinct names, which are counted every few seconds, have caught up."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + _COUNTED_WITHIN_S
        while True:
            reading = await story.read()
            names = reading.total("blocked_domains_overall", window="1h")
            if names == len(crowd.counts.blocked_names) or loop.time() > give_up:
                return reading
            await asyncio.sleep(0.1)

    def _verdict(self, reading: Scrape, crowd: Crowd, story: Story) -> int:
        counts = crowd.counts
        names = int(reading.total("blocked_domains_overall", window="1h"))
        checks = {
            "questions, all answered": (crowd.sent, crowd.answered),
            "queries, say the metrics": (crowd.sent + self._encrypted, int(reading.total("queries_total"))),
            "answers, say the metrics": (crowd.sent + self._encrypted, int(reading.total("responses_total"))),
            "blocked, say clients and metrics": (counts.blocked, int(reading.total("blocked_total"))),
            "different listed names behind them, the same": (len(counts.blocked_names), names),
            "wrong answers": (0, counts.faults),
        }
        self._console.print("\nWhat was shown", style="bold")
        for number, sentence in enumerate(story.told, 1):
            self._print(f"{number}. {sentence}")
        self._print("Latency is computed from the buckets of pdns_query_duration_seconds, also for the clients.")
        good = True
        self._console.print("\nWhat was counted", style="bold")
        for what, (expected, found) in checks.items():
            good = good and expected == found
            self._print(f"  {found:>7,} {what}" + ("" if expected == found else f": WRONG, must be {expected:,}"))
        for fault in counts.first_faults:
            self._print(f"          {fault}")
        return 0 if good else 1

    async def _stay(self, resolver: DemoResolver) -> None:
        listed = world.FEEDS["malware"][0].name
        self._console.print("\nEverything still runs", style="bold")
        self._print(f"  metrics    {resolver.url('/metrics')}")
        self._print(f"  blocked    dig @127.0.0.1 -p {resolver.port} www.{listed}")
        self._print(f"  forwarded  dig @127.0.0.1 -p {resolver.port} {world.BENIGN_NAMES[0]}")
        tls, https = resolver.encrypted_ports["tls"], resolver.encrypted_ports["https"]
        authority = resolver.directory / CERTIFICATE
        self._print(f"  over TLS   kdig @127.0.0.1 -p {tls} +tls-ca={authority} +tls-host=localhost {world.BENIGN_NAMES[0]}")
        self._print(
            f"  over HTTPS kdig @127.0.0.1 -p {https} +https +tls-ca={authority} +tls-host=localhost {world.BENIGN_NAMES[0]}"
        )
        self._print("  Ctrl-C ends it.")
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=not self._console.is_terminal)


def _clients(crowd: Crowd) -> table.Clients:
    waits_s = crowd.counts.waits_s
    return table.Clients(crowd.sent, crowd.answered, table.quantile(waits_s, 0.5), table.quantile(waits_s, 0.99))
