"""docs/api.md is true: every route has an example there, and every example works as it stands."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from pdns.core.case import reference
from pdns.supervisor.http.api_routes import ApiRoute
from pdns.wire import names
from tests.integration import pagevisits
from tests.integration.apiclient import Api
from tests.integration.running_pdns import ROOT, RunningPdns, UpstreamThread, feed
from tests.unit.test_api_commands import table

PAGE = (ROOT / "docs/api.md").read_text()
EXAMPLES = re.findall(r"^\$ (curl .+)$", PAGE, re.MULTILINE)
SOCKET = "/var/lib/protective-dns/admin.sock"
CASE = reference(names.from_text("bad.example"), "urlhaus")
OF_LEEDS = "127.0.0.9"


def method_of(words: list[str]) -> str:
    if "-X" in words:
        return words[words.index("-X") + 1]
    return "POST" if "-d" in words or "--data-binary" in words else "GET"


def route_of(words: list[str]) -> ApiRoute:
    (url,) = [word for word in words if word.startswith("http://localhost/")]
    found = [route for route in table() if route.method == method_of(words) and re.fullmatch(route.pattern, urlsplit(url).path)]
    assert found, words
    return found[0]


def test_every_route_has_an_example() -> None:
    """None is missing, and none is of a route that does not exist."""
    shown = {route_of(shlex.split(example))[:2] for example in EXAMPLES}
    assert {route[:2] for route in table()} - shown == set()


def test_every_example_works(tmp_path: Path) -> None:
    """In the order of the page, with curl, on a server with the tenant, the feed, the reports and the case that they name."""
    with UpstreamThread() as upstream:
        config = {
            "upstream": {"servers": [upstream.address]},
            "tenant": [{"name": "leeds", "networks": ["192.0.2.0/24", f"{OF_LEEDS}/32"]}],
            "feed": [feed(tmp_path, "urlhaus", "bad.example")],
            "history": {"days": 30},
            "sink": [{"name": "tap", "kind": "dnstap", "path": str(tmp_path / "tap")}],
            **pagevisits.config(),
        }
        (tmp_path / "new.txt").write_text("new.example\n")
        with RunningPdns(tmp_path, config) as pdns:
            api = Api(pdns)
            for number, source in enumerate(("127.0.0.1", "127.0.0.1", OF_LEEDS, OF_LEEDS)):
                name = f"x{number}.bad.example"
                assert pagevisits.report(pagevisits.page_port(pdns), name, source=source).status == 200
            assert pdns.addresses("bad.example") == [pagevisits.ADDRESS]
            pdns.wait_for(lambda: api.local("GET", f"/api/cases/{CASE}").status == 200, "the case")
            pdns.wait_for(lambda: api.local("GET", "/api/events/sinks").status == 200, "the state of the sinks")
            for example in EXAMPLES:
                words = shlex.split(example.replace(SOCKET, str(pdns.state_dir / "admin.sock")))
                done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False)
                if example.endswith("/release"):  # there is nothing to release here
                    assert "409" in done.stderr
                    continue
                assert (done.returncode, done.stderr) == (0, ""), (example, done.stdout)
                assert done.stdout


def test_the_page_names_every_status() -> None:
    """Those that the routes have of their own, and those of all."""
    named = {int(status) for line in re.findall(r"^\| ([\d, ]+) \|", PAGE, re.MULTILINE) for status in line.split(", ")}
    assert {status for route in table() for status in route.statuses} <= named
