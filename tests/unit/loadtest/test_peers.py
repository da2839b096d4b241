"""The peers: what is written for each, that each takes it, and that each is measured doing what the paths mean."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from loadtest import goals, population, programs, traffic, turns
from loadtest.loopback import Address
from loadtest.packets import query
from loadtest.peers import PEERS, bind, dnsdist, dnsmasq, knot, named, recursor, unbound
from loadtest.peers import measure as peers_measure
from loadtest.peers.peer import Peer, Setup
from loadtest.peers.start import PeerError, is_blocked, is_forwarded, started
from loadtest.population import Population
from loadtest.results import PeerResult
from loadtest.turns import ECHO, Contender, Course
from pdns.wire import names

HERE, UPSTREAM = Address("127.0.0.1", 5399), Address("127.0.0.1", 5398)
LISTED = "evil.example.com\nworse-1.example.net\nunder_.score.example.org\n"  # real lists have such names
each_peer = pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    listed = tmp_path / "listed.txt"
    listed.write_text(LISTED)
    directory = tmp_path / "run"
    directory.mkdir()
    return Setup(directory=directory, listen=HERE, upstream=UPSTREAM, listed=listed)


def written(setup: Setup) -> str:
    return "\n".join(file.read_text() for file in sorted(setup.directory.iterdir()))


def needs(peer: Peer) -> None:
    if peer.path() is None:
        pytest.skip(f"no {peer.program} here: apt install {peer.package}")


@each_peer
def test_configuration_names_its_addresses_and_its_list(peer: Peer, setup: Setup) -> None:
    """It listens where it is told, on loopback only, forwards to the upstream, and has each listed name."""
    arguments = peer.configure(setup)
    text = written(setup)
    assert str(HERE.port) in text
    assert str(UPSTREAM.port) in text
    assert "0.0.0.0" not in text
    assert "evil.example.com" in text
    assert "worse-1.example.net" in text
    assert any(str(setup.directory) in argument for argument in arguments)


@each_peer
def test_without_a_list_nothing_is_blocked(peer: Peer, setup: Setup) -> None:
    """The run that memory is compared with has no name and no policy in its configuration."""
    bare = Setup(directory=setup.directory, listen=HERE, upstream=UPSTREAM, listed=None)
    peer.configure(bare)
    text = written(bare).lower()
    assert "example" not in text
    assert "rpz" not in text
    assert "192.0.2.1" not in text


@pytest.mark.parametrize(
    ("peer", "lines"),
    [
        (dnsdist.PEER, ['SpoofAction("192.0.2.1", {ttl=60})', "newPacketCache(1000000"]),
        (unbound.PEER, ['local-zone: "evil.example.com." always_nxdomain', "num-threads: 1", "edns-buffer-size: 1232"]),
        (recursor.PEER, ["*.evil.example.com A 192.0.2.1", "threads=1\n", "dnssec=off\n", "# one core is measured\n"]),
        (knot.PEER, ["*.evil.example.com CNAME .", "trust_anchors.remove('.')"]),
        (bind.PEER, ["*.evil.example.com A 192.0.2.1", "qname-wait-recurse no", "dnssec-validation no;"]),
        (dnsmasq.PEER, ["address=/evil.example.com/192.0.2.1", "cache-size=100000"]),
    ],
    ids=lambda value: value.name if isinstance(value, Peer) else "",
)
def test_configuration_is_a_fair_one(peer: Peer, lines: list[str], setup: Setup) -> None:
    """A cache large enough, one thread, no validation, and the list in the form that the peer is best at."""
    peer.configure(setup)
    text = written(setup)
    assert [line for line in lines if line not in text] == []


@each_peer
def test_its_own_checker_takes_the_configuration(peer: Peer, setup: Setup) -> None:
    """Where the peer can judge a configuration without running, it finds nothing wrong with ours."""
    needs(peer)
    if peer.check is None:
        pytest.skip(f"{peer.name} has no checker; the run below starts it")
    peer.configure(setup)
    done = subprocess.run(peer.check(setup), capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@each_peer
def test_version_is_said(peer: Peer) -> None:
    """What is printed as the version is one, and not empty."""
    needs(peer)
    assert peer.version()[0].isdigit()


def test_names_that_no_peer_reads_are_left_out(tmp_path: Path) -> None:
    """Addresses, single labels, empty lines and labels that are too long are not in anybody's list; underscores are."""
    file = tmp_path / "listed"
    file.write_text(f"good.example.com\n192.0.2.7\nlocalhost\n\n_dmarc.example.org\n{'a' * 64}.com\nbüro.example\na b.com\n")
    setup = Setup(directory=tmp_path, listen=HERE, upstream=UPSTREAM, listed=file)
    assert list(setup.listed_names()) == ["good.example.com", "_dmarc.example.org"]


def test_peers_are_chosen_by_name() -> None:
    """In the order asked for, spaces allowed; one that is not known is an error that names those that are."""
    assert [peer.name for peer in named("unbound, dnsdist")] == ["unbound", "dnsdist"]
    with pytest.raises(ValueError, match="coredns is not a peer; these are: dnsdist, unbound"):
        named("unbound,coredns")


def test_blocked_and_forwarded_answers_are_told_apart() -> None:
    """The sinkhole and NXDOMAIN are blocks, an address is an answer, and SERVFAIL and NODATA are neither."""
    head = bytearray(query(names.from_text("x.example.com")))
    head[2] |= 0x80
    with_one = bytes(head[:6]) + b"\0\1" + bytes(head[8:])
    record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4"
    sinkhole, address = with_one + record + b"\xc0\0\2\1", with_one + record + b"\xc6\x12\0\1"
    nxdomain, servfail = bytes(head[:3]) + b"\3" + bytes(head[4:]), bytes(head[:3]) + b"\2" + bytes(head[4:])
    answers = (sinkhole, nxdomain, address, servfail, bytes(head))
    assert [is_blocked(answer) for answer in answers] == [True, True, False, False, False]
    assert [is_forwarded(answer) for answer in answers] == [False, False, True, False, False]


@pytest.fixture
def people(tmp_path: Path) -> Population:
    return population.generated(tmp_path, listed=1000, benign=200, sample=1000)


def measured(peer: Peer, people: Population, directory: Path) -> PeerResult:
    """All paths beside the echo, two short rounds of each."""
    with programs.serving("authority") as authority, programs.serving("echo") as echo:
        field = peers_measure.Field(
            directory=directory, upstream=authority.address, server_core=None, generator_core=None, people=people,
            listed=people.list_file, start_timeout_s=30,
        )  # fmt: skip
        course = Course(directory=directory, authority=authority, generator_core=None, rounds=2, queries=2000, slice_s=0.3)
        with peers_measure.all_running(field, [peer], lambda _: None) as running:
            for path_traffic in traffic.of_paths(people):
                contenders = [Contender(name=ECHO, pids=(echo.pid,), address=echo.address)]
                contenders += [contender for each in running if (contender := each.contender) is not None]
                turns.warm_up(course, path_traffic, contenders)
                running[0].add(path_traffic.path, turns.take(course, path_traffic, contenders))
        return peers_measure.without_list(field, running[0])


@pytest.fixture
def short_path() -> Iterator[Path]:
    """For sockets of peers: the path of one has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="peer-") as directory:
        yield Path(directory)


@pytest.mark.realtime
@each_peer
@pytest.mark.usefixtures("compiled")
def test_a_real_peer_is_measured(peer: Peer, people: Population, short_path: Path) -> None:
    """With a thousand names listed it answers each path as it means, costs more than the echo, and leaves nothing behind."""
    needs(peer)
    result = measured(peer, people, short_path)
    assert result.problem is None
    assert [(path.key, path.not_as_meant) for path in result.paths] == [(path.key, "") for path in goals.PATHS]
    assert all(path.queries > 100 for path in result.paths)
    assert result.start_s is not None
    assert 0 < result.start_s < 30
    forward = result.path(goals.FORWARD.key)
    assert forward is not None
    assert forward.forwarded >= 0.99
    assert forward.ratio > 1
    assert list((short_path / peer.name).iterdir()) == []


def _broken(setup: Setup) -> list[str]:
    setup.write("sh", ["echo 'line 7: [nonsense]'; exit 3"])
    return [str(setup.directory / "sh")]


def peer_of(**changes: object) -> Peer:
    fields: dict[str, object] = {
        "name": "sh", "package": "sh", "program": "sh", "version_arguments": ("-c", "echo sh 4.5"), "list_form": "none",
        "configure": _broken,
    }  # fmt: skip
    return Peer(**(fields | changes))  # type: ignore[arg-type]  # a test changes one field of many


@pytest.mark.usefixtures("compiled")
def test_a_peer_that_ends_says_its_last_words(people: Population, tmp_path: Path) -> None:
    """Its problem has the exit status and the end of its output; the bench goes on."""
    result = measured(peer_of(), people, tmp_path)
    assert result.problem == "ended with 3\n  line 7: [nonsense]"
    assert (result.version, result.start_s, result.paths) == ("4.5", None, [])


@pytest.mark.usefixtures("compiled")
def test_a_peer_that_is_not_installed_is_named(people: Population, tmp_path: Path) -> None:
    """With the line that installs it."""
    result = measured(peer_of(program="no-such-program", package="nosuch"), people, tmp_path)
    assert (result.problem, result.version) == ("not installed: apt install nosuch", "")


@pytest.mark.usefixtures("compiled")
def test_a_peer_that_is_slow_to_start_gets_only_so_long(people: Population, tmp_path: Path) -> None:
    """One that answers nothing is given up after its time, and is not left running."""
    peer = peer_of(configure=lambda _: ["-c", "echo loading; exec sleep 60"])
    with programs.serving("authority") as authority, started(peer, tmp_path / "x", authority.address, None) as server:
        with pytest.raises(PeerError, match=r"^not ready in 0 s\n  loading$"):
            server.wait_blocked(people.listed[0], 0.4)
        child = server.process
    assert child.returncode == -9


def test_a_path_that_is_something_else_is_found_out() -> None:
    """Lost, forwarded and refused queries, and answers that are not a block, each make a number one of something else."""
    judge = peers_measure._not_as_meant  # of all rounds
    blocked = query(names.from_text("x.example.com"))[:3] + b"\3" + query(names.from_text("x.example.com"))[4:]
    run = programs.Run(
        sent=1000, received=1000, lost=0, strange=0, question_differs=0, truncated=0, send_errors=0, elapsed_s=1,
        answers_per_s=1000, generator_cpu_s=0.1, rcodes={3: 1000},
        latency_us=programs.Latency(mean=1, p50=1, p90=1, p99=1, p99_9=1, max=1),
    )  # fmt: skip
    lossy = msgspec.structs.replace(run, received=900, lost=100)
    assert judge(goals.BLOCKED_SEEN, [run, run], 0.0, [blocked]) == ""
    assert judge(goals.BLOCKED_SEEN, [run], 0.0, [blocked, None]) == "1 of 2 answers are not a block"
    assert judge(goals.BLOCKED_SEEN, [run], 0.3, [blocked]) == "30.0% of the queries were forwarded"
    assert judge(goals.BLOCKED_SEEN, [run, lossy], 0.0, [blocked]) == "100 of 2,000 queries without an answer"
    assert judge(goals.HIT, [run], 0.0, []) == "answers with rcode 3"
    assert judge(goals.FORWARD, [run], 0.5, []) == "only 50.0% of the answers came from the upstream"
