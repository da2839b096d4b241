"""The parts of a simulated fleet: its list, publisher, store, nodes, and resolvers with their traffic."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from loadtest import fleetnodes, fleetstore, packets, population, programs, server, traffic
from loadtest.fleetnodes import NodeProcesses
from loadtest.fleetstore import S3Server
from loadtest.fleetwatch import FleetObserver
from loadtest.loopback import Address, free_port
from loadtest.server import REPOSITORY, Resolver, ServerError
from pdns.wire import names

READY_S = 600.0  # a busy machine
EARLY_SHARE = 0.05
BLOCKED_SHARE = 0.02  # of the queries
RATE = 100.0  # queries a second for each resolver
GATE_QUERIES = 100
POINTER_VALID_S = 600.0
REMOVED, ADDED = 100, 200  # names of a change
FEEDS = 2
POPULAR = 300  # names of the bad list
_PACKETS = 20_000
CLIENTS = 8  # of each resolver: a name that only one client asks for says nothing about a list
_GENERATED_S = 24 * 3600.0
_MOST_QUERIES = 10**12
_ANSWER_S = 12.0


class FleetPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One simulation."""

    nodes: int = 200
    resolvers: int = 3
    names: int = 200_000
    minutes: float = 10.0
    poll_s: float = 10.0
    seed: int = 1

    @property
    def soak_s(self) -> float:
        return max(10.0, self.poll_s)  # time for a node to meet enough queries, and for its heartbeat

    @property
    def outage_s(self) -> float:
        """What stands for an hour without the store."""
        return max(8.0, self.minutes * 60 / 7)

    @property
    def week_changes(self) -> int:
        """What stands for a week of changes."""
        return max(4, int(self.minutes * 1.4))

    def ring(self, number: int) -> str:
        """Of a node; the first ring is the first resolver alone."""
        return "early" if number < max(1, round(self.nodes * EARLY_SHARE)) else "all"


class FeedFile:
    """The list of the publisher."""

    def __init__(self, people: population.Population, file: Path, seed: int) -> None:
        self._people, self._file = people, file
        self._random = random.Random(f"feed {seed}")
        self._texts = people.list_file.read_text().split()
        self._random.shuffle(self._texts)
        self._spared = set(self._people.listed[: traffic.SEEN_LISTED])  # traffic asks for these: they stay
        self._changes = 0
        self.write()

    def write(self, more: list[str] | None = None) -> float:
        """Replace the file. Returns the moment."""
        new = self._file.with_suffix(".new")
        new.write_text("\n".join([*self._texts, *(more or [])]) + "\n")
        new.replace(self._file)
        return time.monotonic()

    def change(self) -> float:
        """Some names leave and some come. Returns the moment."""
        self._changes += 1
        removed = 0
        for at, text in enumerate(self._texts):
            if names.from_text(text) not in self._spared:
                self._texts[at] = f"c{self._changes}-{removed}.portal-{self._random.getrandbits(24):06x}.top"
                removed += 1
                if removed == REMOVED:
                    break
        self._random.shuffle(self._texts)
        self._texts += [f"c{self._changes}-{at}.login-{self._random.getrandbits(24):06x}.xyz" for at in range(ADDED - REMOVED)]
        return self.write()

    def spoil(self) -> float:
        """List the names that clients ask for most."""
        return self.write([names.to_text(name) for name in self._people.benign[:POPULAR]])


class Scene(msgspec.Struct, kw_only=True):
    """Everything that runs."""

    plan: FleetPlan
    directory: Path
    people: population.Population
    store: S3Server
    feed: FeedFile
    publisher: Resolver
    resolvers: list[Resolver]
    nodes: NodeProcesses
    watch: FleetObserver
    generators: list[subprocess.Popen[str]]
    started_s: float

    def pdns(self, member: Resolver, *words: str) -> str:
        """What a command of the command line says about a member. Raises `ServerError`."""
        return pdns(*words, "-c", str(member.state_dir.parent / "pdns.toml"))

    def rotate_keys(self) -> None:
        """New online keys, signed by the root key. Raises `ServerError`."""
        keys = self.directory / "keys"
        pdns("fleet", "keys", "rotate", str(keys))
        for file in keys.glob("root-*.pem"):
            pdns("fleet", "keys", "sign", str(keys), str(file))

    def now_s(self) -> float:
        return time.monotonic() - self.started_s

    def is_blocked(self, resolver: Resolver, name: bytes) -> bool:
        answer = server.ask(resolver.address, packets.query(name), timeout_s=3.0)
        return answer is not None and server.is_sinkhole(answer)


def pdns(*words: str) -> str:
    """The output of `pdns WORDS`. Raises `ServerError`."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-m", "pdns", *words],
        capture_output=True,
        text=True,
        env=environment,
        cwd=REPOSITORY,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise ServerError(f"pdns {' '.join(words)}: {done.returncode}: {(done.stdout + done.stderr).strip()[-500:]}")
    return done.stdout


def publisher_config(
    scene_dir: Path, directory: Path, store: S3Server, plan: FleetPlan, upstream: Address
) -> tuple[str, Address, Address]:
    """The configuration of a publisher with its state in `directory`, and its addresses."""
    feeds = "".join(
        f'[[feed]]\nname = "{name}"\nurl = "file://{scene_dir}/{name}.txt"\ncategory = "malware"\nrefresh_s = 86400\n'
        for name in ("listed", "small")
    )
    fleet = (
        f'[fleet]\nrole = "publisher"\n{store.section()}keys_dir = "{scene_dir}/keys"\nnode = "{directory.name}"\n'
        f"soak_s = {plan.soak_s}\nsoak_nodes = 1\npointer_valid_s = {POINTER_VALID_S}\npoll_s = {min(2.0, plan.poll_s)}\n"
    )
    return _config(directory, upstream, feeds + fleet)


def _config(directory: Path, upstream: Address, more: str) -> tuple[str, Address, Address]:
    listen, metrics = Address("127.0.0.1", free_port()), Address("127.0.0.1", free_port())
    return server.config_text(listen, metrics, upstream, directory / "state", None, 1, more), listen, metrics


def _node_config(
    scene_dir: Path, directory: Path, store: S3Server, plan: FleetPlan, upstream: Address, ring: str
) -> tuple[str, Address, Address]:
    fleet = (
        f'[fleet]\nrole = "node"\n{store.section()}root_file = "{scene_dir}/keys/root.json"\nnode = "{directory.name}"\n'
        f'ring = "{ring}"\npoll_s = {plan.poll_s}\nheartbeat_store = "s3://{fleetstore.BUCKET}"\n'
        f'heartbeat_credentials_file = "{store.credentials}"\ngate_queries = {GATE_QUERIES}\n'
    )
    return _config(directory, upstream, fleet)


@contextlib.contextmanager
def standing(plan: FleetPlan, directory: Path) -> Iterator[Scene]:
    """Everything runs, and traffic flows. Raises what the parts raise."""
    (directory / "small.txt").write_text("small-one.test\nsmall-two.test\nkill.me.example\n")
    pdns("fleet", "keys", "init", str(directory / "keys"))
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(fleetstore.serving(directory))
        nodes_plan = fleetnodes.plan_for(store, directory / "nodes", directory / "keys" / "root.json", plan.poll_s)
        rings = {number: plan.ring(number) for number in range(plan.nodes)}
        nodes = stack.enter_context(fleetnodes.started_nodes(nodes_plan, rings))
        nodes.start(*rings)  # first: a fork copies the tables of all the memory that there is
        people = population.generated(server_build(), plan.names, 10_000, sample=20_000, seed=plan.seed)
        feed = FeedFile(people, directory / "listed.txt", plan.seed)
        authority = stack.enter_context(programs.serving("authority"))
        at = directory / "publisher"
        config, listen, metrics = publisher_config(directory, at, store, plan, authority.address)
        publisher = stack.enter_context(server.started_by(at, config, listen, metrics))
        publisher.wait_ready(READY_S)
        watch = stack.enter_context(FleetObserver(store.bucket, publisher.state_dir))
        _first_release(watch, str(at / "pdns.toml"))
        resolvers = []
        for number, ring in zip(range(plan.resolvers), ("first", "early", "all", *["all"] * plan.resolvers), strict=False):
            at = directory / f"resolver{number}"
            config, listen, metrics = _node_config(directory, at, store, plan, authority.address, ring)
            resolvers.append(stack.enter_context(server.started_by(at, config, listen, metrics)))
        watch.resolver_dirs = [one.state_dir for one in resolvers]
        scene = Scene(
            plan=plan, directory=directory, people=people, store=store, feed=feed, publisher=publisher, resolvers=resolvers,
            nodes=nodes, watch=watch, generators=[], started_s=time.monotonic(),
        )  # fmt: skip
        for resolver in resolvers:
            resolver.wait_ready(READY_S)
        scene.started_s = time.monotonic()
        stack.callback(_end, scene.generators)
        _start_traffic(scene)
        yield scene


def _first_release(watch: FleetObserver, config: str) -> None:
    """Wait for a release with all lists, and give it to all rings: there are no nodes yet whose heartbeats could."""
    give_up_s = time.monotonic() + READY_S
    while (newest := watch.newest("first")) == 0 or len(watch.releases[newest].feeds) < FEEDS:
        if time.monotonic() > give_up_s:
            raise ServerError(f"the publisher has published no release with all lists within {READY_S:.0f} s")
        time.sleep(0.1)
    time.sleep(1)
    if watch.newest("all") < watch.newest("first"):
        pdns("fleet", "promote", str(watch.newest("first")), "all", "--reason", "simulated", "-c", config)


def server_build() -> Path:
    """Where generated lists are kept."""
    from loadtest import build  # noqa: PLC0415 (it compiles)

    build.program("generator")
    return build.BUILD_DIR


def _start_traffic(scene: Scene) -> None:
    file = scene.directory / "packets.bin"
    packets.write(file, traffic.mix(scene.people, _PACKETS, scene.plan.seed, blocked_share=BLOCKED_SHARE))
    for resolver in scene.resolvers:
        command = programs.generator_command(
            resolver.address, file, count=_MOST_QUERIES, seconds=_GENERATED_S, rate=RATE, clients=CLIENTS,
            window=int(RATE * _ANSWER_S * 2),
            timeout_ms=int(_ANSWER_S * 1000), progress=False,
        )  # fmt: skip
        scene.generators.append(programs.start(command))


def _end(generators: list[subprocess.Popen[str]]) -> None:
    for process in generators:
        if process.poll() is None:
            process.kill()
            process.wait()
