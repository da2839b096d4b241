"""The machine's own address changes while questions are asked: in network namespaces, with the real program."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.long,
    pytest.mark.realtime,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
    pytest.mark.skipif(shutil.which("ip") is None, reason="iproute2 is not installed"),
]

UPSTREAM, BEFORE, AFTER = "10.91.0.1", "10.91.0.2", "10.91.0.3"

# Answers every question with 192.0.2.7, over UDP and TCP, as `tests/fakes` do.
_UPSTREAM = f"""
import asyncio
from tests.fakes.upstream import FakeUpstream, answer
from tests.fakes.upstreamsockets import _Tcp, _Udp

async def main():
    fake = FakeUpstream(answer("192.0.2.7"))
    loop = asyncio.get_running_loop()
    fake._udp, _ = await loop.create_datagram_endpoint(lambda: _Udp(fake), ("{UPSTREAM}", 53))
    await loop.create_server(lambda: _Tcp(fake), "{UPSTREAM}", 53)
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""

# Starts the program, asks 150 different names a second, changes the address in the way of argv[2], prints what came of it.
_CLIENT = f"""
import socket, subprocess, sys, threading, time
from pathlib import Path
import dns.message, dns.rcode
from tests.integration.running_pdns import RunningPdns

transport, how, directory = sys.argv[1:]
answers, sent = {{}}, {{}}
upstream = transport + "://{UPSTREAM}:53"
config = {{"server": {{"workers": 1}}, "upstream": {{"servers": [upstream], "timeout_s": 10.0}}}}
with RunningPdns(Path(directory), config) as pdns:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(("127.0.0.1", pdns.dns_port))
    over = threading.Event()
    def read():
        sock.settimeout(0.2)
        while not over.is_set():
            try:
                wire = sock.recv(4096)
            except TimeoutError:
                continue
            number = int.from_bytes(wire[:2])
            answers[number] = (time.monotonic(), wire[3] & 15)
    reader = threading.Thread(target=read)
    reader.start()
    begun = time.monotonic()
    changed = False
    for number in range(1, 150 * 12):
        if not changed and time.monotonic() - begun > 4:
            changed = True
            for command in how.split(";"):
                subprocess.run(["ip", *command.split()], check=True)
        query = dns.message.make_query(f"www.n{{number}}.net", "A", id=number)
        sent[number] = time.monotonic()
        sock.send(query.to_wire())
        time.sleep(max(0.0, begun + number / 150 - time.monotonic()))
    time.sleep(3.0)
    over.set()
    reader.join()
    up = pdns.value("upstream_up", upstream=upstream)
failed = [number for number, (_, rcode) in answers.items() if rcode]
slow = max((answers[number][0] - sent[number] for number in answers), default=0.0)
print(f"RESULT sent={{len(sent)}} lost={{len(sent) - len(answers)}} failed={{len(failed)}} slowest={{slow:.2f}} up={{up:.0f}}")
"""

CHANGES = {
    # the address is replaced, as by DHCP or VRRP
    "replaced": f"addr del {BEFORE}/24 dev away;addr add {AFTER}/24 dev away",
    # both are there, the other one is used: replies to the old one are lost, as with a VPN
    "preferred": (
        f"addr add {AFTER}/24 dev away;route replace 10.91.0.0/24 dev away proto kernel scope link src {AFTER};"
        f"-n UPSTREAMS route add blackhole {BEFORE}/32"
    ),
}


@contextlib.contextmanager
def namespaces() -> Iterator[tuple[str, str]]:
    """Two of them, joined by a veth pair: for the upstream, and for the program."""
    there, here = f"pdns-up-{os.getpid()}", f"pdns-at-{os.getpid()}"

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True)

    try:
        for name in (there, here):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", there, "link", "add", "home", "type", "veth", "peer", "name", "away", "netns", here)
        ip("-n", there, "addr", "add", f"{UPSTREAM}/24", "dev", "home")
        ip("-n", here, "addr", "add", f"{BEFORE}/24", "dev", "away")
        ip("-n", there, "link", "set", "home", "up")
        ip("-n", here, "link", "set", "away", "up")
        yield there, here
    finally:
        for name in (there, here):
            subprocess.run(["ip", "netns", "del", name], check=False)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_our_address_costs_no_answer(tmp_path: Path, transport: str, change: str) -> None:
    """Of 150 new names a second not one is SERVFAIL, none waits for long, and the upstream stays up."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    try:
        with namespaces() as (there, here):
            command = ["ip", "netns", "exec", there, sys.executable, "-c", _UPSTREAM]
            with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as upstream:
                try:
                    assert upstream.stdout is not None
                    assert upstream.stdout.readline() == "ready\n"
                    how = CHANGES[change].replace("UPSTREAMS", there)
                    done = subprocess.run(
                        ["ip", "netns", "exec", here, sys.executable, "-c", _CLIENT, transport, how, str(tmp_path)],
                        env=environment, capture_output=True, text=True, check=False, timeout=120,
                    )  # fmt: skip
                finally:
                    upstream.kill()
    except subprocess.CalledProcessError as error:
        if "netns" in error.cmd and "add" in error.cmd:
            pytest.skip("network namespaces are not allowed here")
        raise
    print(done.stdout, done.stderr)  # noqa: T201 (pytest shows it when the test fails)
    result = dict(word.split("=") for word in done.stdout.split("RESULT ")[1].split())
    assert (int(result["lost"]), int(result["failed"]), result["up"]) == (0, 0, "1")
    assert float(result["slowest"]) < 3.0
