"""The real program delivers what it blocks to every kind of sink at once, through a restart and a reload."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from pdns.events.frame_streams import CollectorAddress
from pdns.state.sink_states import read_states, states_path
from tests.integration.apiclient import write_certificate
from tests.integration.running_pdns import RunningPdns, feed
from tests.integration.syslogservers import Rsyslog, free_ports
from tests.unit.events.collectors import capture, frames_in

NAMES = [f"n{number}.evil.test" for number in range(20)]


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def hostnames(documents: list[dict[str, Any]]) -> list[str]:
    return sorted(document["query"]["hostname"] for document in documents)


def test_every_sink_gets_what_is_blocked(tmp_path: Path) -> None:
    """A file, syslog over TCP and TLS, and dnstap get each blocked query once; a sink that is away gets all when it is back."""
    certificate = write_certificate(tmp_path / "server")
    (tmp_path / "rsyslog").mkdir()
    (tmp_path / "out").mkdir()
    server = Rsyslog(tmp_path / "rsyslog", free_ports(), certificate)
    tls = {"name": "tls", "kind": "syslog", "address": f"localhost:{server.ports.tls}", "transport": "tls"}
    sinks: list[dict[str, Any]] = [
        {"name": "file", "kind": "file", "path": "out/events.jsonl"},
        {"name": "tcp", "kind": "syslog", "address": f"127.0.0.1:{server.ports.tcp}", "format": "ecs"},
        {**tls, "ca_file": str(certificate[0])},
        {"name": "tap", "kind": "dnstap", "path": "tap.sock"},
    ]
    config = {"feed": [feed(tmp_path, "alpha", "evil.test")], "sink": sinks}
    tap = CollectorAddress(path=str(tmp_path / "tap.sock"))
    with capture(tap, tmp_path / "frames"), RunningPdns(tmp_path, config) as pdns:
        for name in NAMES[:10]:
            pdns.ask(name)
        pdns.wait_for(lambda: len(lines_of(tmp_path / "out/events.jsonl")) == 10, "lines in the file")
        pdns.wait_for(lambda: states_path(pdns.state_dir / "events").exists(), "the states of sinks")
        states = {state.name: state for state in read_states(pdns.state_dir / "events").sinks}
        assert {"file", "tcp", "tls", "tap", "store"} <= set(states)
        pdns.wait_for(lambda: pdns.value("event_sink_up", sink="tcp") == 0, "a sink that fails")
        assert pdns.stop(signal.SIGTERM) == 0  # with records that wait
        server.start()
        try:
            pdns.start()
            for name in NAMES[10:]:
                pdns.ask(name)
            pdns.wait_for(lambda: len(server.received()) == 40, "messages at the server")
            pdns.wait_for(lambda: len(lines_of(tmp_path / "out/events.jsonl")) == 20, "more lines in the file")
            pdns.write_config({**config, "sink": [{**sinks[0], "format": "ecs"}]})
            pdns.reload()
            pdns.ask("last.evil.test")
            pdns.wait_for(lambda: len(lines_of(tmp_path / "out/events.jsonl")) == 21, "a line in the other format")
            cursors = sorted(path.name for path in (pdns.state_dir / "events/cursors").iterdir())
            assert cursors == ["file.json", "store.json"]
        finally:
            server.stop()
    documents = lines_of(tmp_path / "out/events.jsonl")
    assert hostnames(documents[:20]) == sorted(NAMES)
    assert documents[20]["dns"]["question"]["name"] == "last.evil.test"
    received = [json.loads(message.text) for message in server.received()]
    assert hostnames([document for document in received if "query" in document]) == sorted(NAMES)
    assert sorted(document["dns"]["question"]["name"] for document in received if "dns" in document) == sorted(NAMES)
    ids = [document["metadata"]["uid"] for document in documents[:20]]
    assert sorted(document["metadata"]["uid"] for document in received if "query" in document) == sorted(ids)
    frames = b"".join(frames_in((tmp_path / "frames").read_bytes()))
    assert all(frames.count(b'"id":"%b"' % number.encode()) == 1 for number in ids)
