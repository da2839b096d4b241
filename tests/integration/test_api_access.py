"""Who may use which route of the API. The routes come from the description that the program serves, so none can be forgotten."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from pdns.core.case import reference
from tests.integration.apiclient import ADMIN, EXPIRED, LEEDS, READER, TENANTS, YORK, Api, admin_section
from tests.integration.running_pdns import ROOT, RunningPdns

OF_TENANTS = {  # what the token of a tenant may do, for that tenant
    ("GET", "/api/tenants/{tenant}"), ("GET", "/api/explain"),
    ("GET", "/api/tenants/{tenant}/indicators"), ("POST", "/api/tenants/{tenant}/indicators"),
    ("DELETE", "/api/tenants/{tenant}/indicators/{name}"),
    ("GET", "/api/report"), ("GET", "/api/incident"), ("GET", "/api/hunt"),
    ("GET", "/api/events"), ("GET", "/api/events/findings"), ("GET", "/api/events/machines"), ("GET", "/api/events/hours"),
    ("GET", "/api/events/headline"), ("GET", "/api/events/top"),
    ("GET", "/api/cases/{case}"), ("GET", "/api/tenants/{tenant}/reports"), ("GET", "/api/tenants/{tenant}/reports/{report}"),
    ("POST", "/api/tenants/{tenant}/reports/{report}/allow"), ("POST", "/api/tenants/{tenant}/reports/{report}/close"),
    ("GET", "/api/tenants/{tenant}/pause"), ("POST", "/api/tenants/{tenant}/pause"), ("POST", "/api/tenants/{tenant}/resume"),
    ("GET", "/api/tenants/{tenant}/status"),
    ("GET", "/api/tenants/{tenant}/credentials"), ("POST", "/api/tenants/{tenant}/credentials"),
    ("POST", "/api/tenants/{tenant}/credentials/revoke"),
}  # fmt: skip
OF_ALL = {("GET", "/api/openapi.json")}
BY_QUERY = (  # they name the tenant behind the `?`
    "/api/explain", "/api/cases/{case}", "/api/report", "/api/incident", "/api/hunt", "/api/events", "/api/events/findings",
    "/api/events/machines", "/api/events/hours", "/api/events/headline", "/api/events/top",
)  # fmt: skip
VALUES = {
    "policy": "schools", "feed": "x", "command": "hold", "name": "x.example", "report": "1",
    "case": reference(b"\1x\7example\0", "x"),
}  # fmt: skip


class Route(NamedTuple):
    method: str
    path: str
    operation: dict[str, Any]

    def target(self, tenant: str = "leeds") -> str:
        """A path of it that would be carried out."""
        target = self.path
        for name, value in {"tenant": tenant, **VALUES}.items():
            target = target.replace(f"{{{name}}}", value)
        assert "{" not in target, "name a value for the new parameter"
        values = {"name": "x.example", "reason": "x", "by": "listed"}
        query = "&".join(
            f"{one['name']}={values[one['name']]}"
            for one in self.operation["parameters"]
            if one.get("required") and one["in"] == "query"
        )
        if self.path in BY_QUERY:
            query += f"&tenant={tenant}"
        if self.path == "/api/incident":
            query += "&name=x.example"
        return f"{target}?{query}"

    @property
    def body(self) -> object:
        return {} if "requestBody" in self.operation else None


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    directory = tmp_path_factory.mktemp("access")
    with RunningPdns(directory, {"admin": admin_section(directory), "tenant": TENANTS}) as pdns:
        yield Api(pdns)


@pytest.fixture(scope="module")
def routes(api: Api) -> list[Route]:
    paths = api.call("GET", "/api/openapi.json", ADMIN).body["paths"]
    return [Route(method.upper(), path, operation) for path, methods in paths.items() for method, operation in methods.items()]


def test_every_route_refuses_who_has_no_right(api: Api, routes: list[Route]) -> None:
    """Without a token, with a wrong one, with one that has expired: 401, and the answer does not tell whether a thing exists. The
    role read changes nothing. The token of another tenant, and of a tenant for all: 403. Nothing was done.
    """
    assert len(routes) >= 18
    for method, path, operation in routes:
        route = Route(method, path, operation)
        for token in ("", ADMIN[:-1], ADMIN + "x", "x" * 5000, "\u00e9".encode().decode("latin-1")):
            refused = api.call(method, route.target(), token, route.body)
            assert (refused.status, refused.body) == (401, {"error": "a bearer token is needed"}), (route, token)
        expired = api.call(method, route.target(), EXPIRED, route.body)
        assert (expired.status, expired.body) == (401, {"error": "the token has expired"}), route
        if method != "GET":
            assert api.call(method, route.target(), READER, route.body).status == 403, route
        for token, tenant in ((YORK, "leeds"), (LEEDS, "nowhere"), (LEEDS, "")):
            if (method, path) not in OF_ALL and (tenant or path in BY_QUERY):  # "": a path without a tenant is another path
                refused = api.call(method, route.target(tenant), token, route.body)
                assert (refused.status, refused.body) == (403, {"error": "this token may not do that"}), (route, token, tenant)
        if (method, path) not in OF_TENANTS | OF_ALL:
            assert api.call(method, route.target(), LEEDS, route.body).status == 403, route
    assert api.call("GET", "/api/audit", ADMIN).body == []


def test_every_role_gets_what_it_may(api: Api, routes: list[Route]) -> None:
    """The roles read and admin read everything, a tenant its own. The description says so too."""
    for route in routes:
        roles = route.operation["x-roles"]
        assert "admin" in roles
        assert ("read" in roles) == (route.method == "GET"), route
        assert ("tenant" in roles) == ((route.method, route.path) in OF_TENANTS | OF_ALL), route
        if route.method == "GET":
            for token in (READER, ADMIN, *([LEEDS] if "tenant" in roles else [])):
                assert api.call("GET", route.target(), token).status in (200, 404, 503), (route, token)


def test_a_tenant_sees_no_other_tenant(tmp_path: Path) -> None:
    """An explanation for a tenant does not name what other tenants allow."""
    tenants = [{**tenant, "allow": ["shared.example"]} for tenant in TENANTS]
    with RunningPdns(tmp_path, {"admin": admin_section(tmp_path), "tenant": tenants}) as pdns:
        api = Api(pdns)
        found = api.call("GET", "/api/explain?name=shared.example&tenant=leeds", LEEDS)
        assert [entry["by"] for entry in found.body["allowed"]] == ["tenant leeds"]
        found = api.call("GET", "/api/explain?name=shared.example", READER)
        assert [entry["by"] for entry in found.body["allowed"]] == ["tenant leeds", "tenant york"]


def test_the_permission_of_the_socket_is_the_credential(api: Api) -> None:
    """Over the Unix socket no token is needed; a token that is sent decides. Others may not open the socket."""
    assert (api.pdns.state_dir / "admin.sock").stat().st_mode & 0o777 == 0o600
    assert api.local("GET", "/api/tenants").status == 200
    assert api.local("GET", "/api/tenants", token=LEEDS).status == 403
    assert api.local("GET", "/api/tenants", token="wrong").status == 401
    assert api.local("GET", "/api/tenants", Host="attacker.example").status == 421


IN_A_CHILD = """
import http.client, os, socket, sys, threading, time

def ask():
    while not os.path.exists({path!r}):
        time.sleep(0.05)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect({path!r})
        sock.sendall(b"GET /api/tenants HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
        print("in a worker:", sock.recv(12), file=sys.stderr, flush=True)

if "pdns.worker" in sys.orig_argv:
    threading.Thread(target=ask, daemon=True).start()
"""


def test_processes_of_the_server_get_nothing(tmp_path: Path) -> None:
    """A child of the supervisor is refused at the socket, so that a worker that was taken over has no administrator's rights."""
    (tmp_path / "sitecustomize.py").write_text(IN_A_CHILD.format(path=str(tmp_path / "state/admin.sock")))
    config = {"server": {"workers": 1}}
    with RunningPdns(tmp_path, config, environment={"PYTHONPATH": f"{tmp_path}:{ROOT}"}) as pdns:
        pdns.wait_for_log("in a worker: ")
        assert "in a worker: b'HTTP/1.1 403'" in pdns.log
        assert Api(pdns).local("GET", "/api/tenants").status == 200


def test_a_changed_token_takes_effect(tmp_path: Path) -> None:
    """Within a second or two, without a reload: the old one is refused, the new one accepted; with no readable file, 503."""
    section = admin_section(tmp_path, token=[])
    with RunningPdns(tmp_path, {"admin": section}) as pdns:
        api, file = Api(pdns), Path(section["token_file"])
        assert api.call("GET", "/api/version", ADMIN).status == 200
        file.write_text("another-token-of-some-length")
        pdns.wait_for(lambda: api.call("GET", "/api/version", "another-token-of-some-length").status == 200, "the new token")
        assert api.call("GET", "/api/version", ADMIN).status == 401
        file.unlink()
        pdns.wait_for(lambda: api.call("GET", "/api/version", ADMIN).status == 503, "no token")


def test_who_did_it_is_on_record(api: Api) -> None:
    """The audit log names the token or the user of the socket, and what the caller says about itself."""
    api.call("POST", "/api/cache/flush", ADMIN, {"name": "x.example", "reason": "by token"})
    api.local("POST", "/api/cache/flush", {"name": "x.example", "reason": "by socket"}, X_Pdns_User="soc")
    lines = [line for line in api.call("GET", "/api/audit", READER).body if line["command"] == "flush"]
    assert [(line["user"], line["reason"]) for line in lines[:2]] == [
        (f"api socket, uid {os.geteuid()}: soc", "by socket"), ("api", "by token"),
    ]  # fmt: skip
    written = (api.pdns.state_dir / "audit-config.jsonl").read_bytes().splitlines()
    assert msgspec.json.decode(written[-1])["user"].endswith("soc")
