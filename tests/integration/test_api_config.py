"""Tenants and policies by the API: in force in every worker, checked as a whole, never lost to another administrator."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.upstream import answer
from tests.integration.apiclient import ADMIN, READER, Api, Reply, admin_section
from tests.integration.changingzones import Load
from tests.integration.running_pdns import SINKHOLE, RunningPdns, UpstreamThread, feed

LEEDS = {"networks": ["127.0.0.0/8"], "allow": ["bad.example"]}
UPSTREAM_SAYS = "192.0.2.7"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with UpstreamThread(answer(UPSTREAM_SAYS, ttl_s=300)) as upstream:
        config = {
            "upstream": {"servers": [upstream.address]},
            "admin": admin_section(tmp_path, token=[]),
            "feed": [feed(tmp_path, "listed", "bad.example", "moving.example")],
        }
        with RunningPdns(tmp_path, config) as pdns:
            yield Api(pdns)


def put(api: Api, name: str, table: dict[str, Any], **headers: Any) -> Reply:
    return api.call("PUT", f"/api/tenants/{name}?reason=test", ADMIN, table, **headers)


def create(api: Api, name: str, table: dict[str, Any]) -> Reply:
    return put(api, name, table, If_None_Match="*")


def kept(api: Api) -> Path:
    return api.pdns.state_dir / "conf.d/50-api.toml"


def test_a_tenant_comes_changes_and_goes(api: Api) -> None:
    """Each answer comes when every worker does as it says. The file is the source of truth: it survives a restart."""
    names = [f"h{number}.bad.example" for number in range(8)]  # on both workers
    assert {tuple(api.pdns.addresses(name)) for name in names} == {(SINKHOLE,)}
    made = create(api, "leeds", LEEDS)
    assert (made.status, made.body) == (201, {"name": "leeds", **LEEDS})
    assert {tuple(api.pdns.addresses(name)) for name in names} == {(UPSTREAM_SAYS,)}
    read = api.call("GET", "/api/tenants/leeds", ADMIN)
    assert (read.body, read.etag) == (made.body, made.etag)
    assert api.call("GET", "/api/tenants", ADMIN).body[0]["file"] == str(kept(api))
    changed = put(api, "leeds", {"networks": ["127.0.0.0/8"]}, If_Match=made.etag)
    assert changed.status == 200
    assert changed.etag != made.etag
    assert {tuple(api.pdns.addresses(name)) for name in names} == {(SINKHOLE,)}
    again = put(api, "leeds", LEEDS, If_Match=changed.etag)
    assert again.etag == made.etag
    assert api.pdns.stop() == 0
    api.pdns.start()
    assert {tuple(api.pdns.addresses(name)) for name in names} == {(UPSTREAM_SAYS,)}
    assert api.call("GET", "/api/tenants/leeds", ADMIN).etag == made.etag
    gone = api.call("DELETE", "/api/tenants/leeds?reason=test", ADMIN, If_Match=made.etag)
    assert gone.status == 200
    assert {tuple(api.pdns.addresses(name)) for name in names} == {(SINKHOLE,)}
    assert api.call("GET", "/api/tenants/leeds", ADMIN).status == 404
    commands = [(line["command"], line["reason"], line["done"]) for line in api.call("GET", "/api/audit", ADMIN).body]
    assert commands == [("remove tenant", "test", True), *[("set tenant", "test", True)] * 3]


def test_nothing_is_changed_unseen(api: Api) -> None:
    """Without If-Match: 428. With an old one, or a weak one, or to create what is there: 412. Nothing has changed."""
    etag = create(api, "leeds", LEEDS).etag
    content = kept(api).read_bytes()
    newer = {"networks": ["127.0.0.1/32"]}
    assert put(api, "leeds", newer).status == 428
    assert put(api, "leeds", newer, If_Match=etag, If_None_Match="*").status == 428
    assert put(api, "leeds", newer, If_Match='"another"').status == 412
    assert put(api, "leeds", newer, If_Match=f"W/{etag}").status == 412
    assert put(api, "leeds", newer, If_None_Match="*").status == 412
    assert put(api, "york", newer, If_Match="*").status == 412
    assert put(api, "leeds", newer, If_Match="unquoted").status == 400
    assert put(api, "leeds", newer, If_None_Match='"x"').status == 400
    for method, target in (("DELETE", "/api/tenants/leeds?reason=x"), ("PUT", "/api/tenants/leeds")):
        assert api.call(method, target, ADMIN, newer if method == "PUT" else None).status in (400, 428)
    assert api.call("DELETE", "/api/tenants/york?reason=x", ADMIN, If_Match="*").status == 404
    assert api.call("DELETE", "/api/tenants/leeds?reason=x", ADMIN, If_Match='"another"').status == 412
    assert kept(api).read_bytes() == content
    assert put(api, "leeds", newer, If_Match=f'"another", {etag}').status == 200


def test_two_administrators_at_once(api: Api) -> None:
    """Each of many reads, adds its own name and writes, again and again until it is told that it did so: all names are there."""
    create(api, "leeds", {"networks": ["127.0.0.0/8"], "allow": []})
    statuses: Counter[int] = Counter()
    lock = threading.Lock()

    def add(name: str) -> None:
        while True:
            seen = api.call("GET", "/api/tenants/leeds", ADMIN)
            table = {"networks": seen.body["networks"], "allow": [*seen.body["allow"], name]}
            status = put(api, "leeds", table, If_Match=seen.etag).status
            with lock:
                statuses[status] += 1
            if status == 200:
                return

    names = [f"n{number}.example" for number in range(12)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, names))
    assert sorted(api.call("GET", "/api/tenants/leeds", ADMIN).body["allow"]) == sorted(names)
    assert statuses[200] == len(names)
    assert set(statuses) == {200, 412}


def test_what_is_not_valid_changes_nothing(api: Api) -> None:
    """The whole configuration is checked: the answer has file, key and reason of each error, and the file stays as it was."""
    create(api, "leeds", LEEDS)
    content = kept(api).read_bytes()
    for table, key, reason in (
        ({"networks": ["10.0.0.1/8"]}, "tenant[1].networks[0]", "expected no bits beyond /8"),
        ({"networks": ["127.0.0.0/8"]}, "tenant[1].networks[0]", "127.0.0.0/8 is already in tenant[0].networks"),
        ({"networks": ["10.0.0.0/8"], "polcy": "x"}, "tenant[1].polcy", 'unknown key; did you mean "policy"?'),
        ({"networks": ["10.0.0.0/8"], "policy": "x"}, "tenant[1].policy", 'no such policy: "x"'),
        ({"networks": 5}, "tenant[1].networks", "expected array of strings, got 5"),
        ({"networks": ["10.0.0.0/8"], "allow": [{"a": [[1.5, True]]}]}, "tenant[1].allow[0]", "expected string"),
    ):
        refused = create(api, "york", table)
        assert refused.status == 422, refused
        assert [(one["file"], one["key"]) for one in refused.body["errors"]] == [(str(kept(api)), key)]
        assert refused.body["errors"][0]["reason"].startswith(reason), refused
        assert kept(api).read_bytes() == content
    assert create(api, "Not%20A%20Label", {"networks": ["10.0.0.0/8"]}).status in (400, 422)
    assert put(api, "york", {"name": "other", "networks": ["10.0.0.0/8"]}, If_None_Match="*").status == 400
    assert put(api, "york", {"networks": None}, If_None_Match="*").body["error"].startswith("networks: null")
    for body, kind, status in (
        (b"{", "application/json", 400), (b"[]", "application/json", 400), (b'{"networks":["\xff"]}', "application/json", 400),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "application/json", 400), (b" " * 70_000, "application/json", 413),
        (b"{}", "text/plain", 415), (b'{"networks":[]}', "application/x-www-form-urlencoded", 415),
    ):  # fmt: skip
        refused = api.call("PUT", "/api/tenants/york?reason=x", ADMIN, body, If_None_Match="*", Content_Type=kind)
        assert refused.status == status, refused
    assert kept(api).read_bytes() == content
    assert "internal error" not in api.pdns.log


def test_what_a_file_says_is_changed_there(api: Api) -> None:
    """A tenant of the main file or of conf.d is read only here, whoever asks; and a broken file beside refuses a change."""
    beside = api.pdns.directory / "conf.d"
    beside.mkdir()
    (beside / "10-york.toml").write_text('[[tenant]]\nname = "york"\nnetworks = ["10.9.0.0/16"]\n')
    assert api.call("POST", "/api/reload", ADMIN).status == 200
    seen = api.call("GET", "/api/tenants/york", ADMIN)
    refused = put(api, "york", {"networks": ["10.8.0.0/16"]}, If_Match=seen.etag)
    assert (refused.status, refused.body["error"]) == (409, f"tenant york is set in {beside / '10-york.toml'}; change it there")
    (beside / "20.toml").write_text("[block]\naction = 5\n")
    refused = create(api, "leeds", LEEDS)
    assert refused.status == 422
    assert refused.body["errors"][0]["file"] == str(beside / "20.toml")
    refused = api.call("POST", "/api/reload", ADMIN)
    assert (refused.status, refused.body["errors"][0]["key"]) == (422, "block.action")
    (beside / "20.toml").unlink()
    assert create(api, "leeds", LEEDS).status == 201
    checked = api.call("POST", "/api/check", ADMIN, b"[block]\naction = 5\n", Content_Type="text/plain")
    assert (checked.status, checked.body["errors"][0]["key"]) == (422, "block.action")
    assert api.call("POST", "/api/check", ADMIN, b'[upstream]\nservers = ["192.0.2.1"]\n').status == 200


def test_conf_d_is_watched(api: Api) -> None:
    """A file that comes beside the main one is in force by itself, within seconds."""
    beside = api.pdns.directory / "conf.d"
    beside.mkdir()
    (beside / "a.toml").write_text('[[tenant]]\nname = "all"\nnetworks = ["127.0.0.0/8"]\nallow = ["bad.example"]\n')
    api.pdns.wait_for(lambda: api.pdns.addresses("bad.example") == [UPSTREAM_SAYS], "the tenant")
    (beside / "a.toml").unlink()
    api.pdns.wait_for(lambda: api.pdns.addresses("bad.example") == [SINKHOLE], "no tenant")


def test_what_cannot_go_live_is_taken_back(api: Api) -> None:
    """What only shows when it is tried, such as an address that is taken: the change is refused, and the file has what it had."""
    create(api, "leeds", LEEDS)
    content = kept(api).read_bytes()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        text = api.pdns.config_path.read_text()
        api.pdns.write_text(text.replace('"127.0.0.1:0",', f'"127.0.0.1:0", "{address}",', 1))
        refused = create(api, "york", {"networks": ["10.9.0.0/16"]})
        assert refused.status == 422, refused
        assert address in refused.body["error"]
        assert kept(api).read_bytes() == content
        assert api.call("GET", "/api/tenants/york", ADMIN).status == 404
        line = api.call("GET", "/api/audit", ADMIN).body[0]
        assert (line["command"], line["name"], line["done"]) == ("set tenant", "york", False)
    assert create(api, "york", {"networks": ["10.9.0.0/16"]}).status == 201


def test_policies(api: Api) -> None:
    """A policy is made, a tenant uses it, and it cannot be removed while that is so."""
    policy = {"block": ["other.example"], "categories": {"malware": "off"}}
    made = api.call("PUT", "/api/policies/schools?reason=x", ADMIN, policy, If_None_Match="*")
    assert made.status == 201, made
    assert create(api, "leeds", {"networks": ["127.0.0.0/8"], "policy": "schools"}).status == 201
    assert api.pdns.addresses("bad.example") == [UPSTREAM_SAYS]
    assert api.pdns.addresses("other.example") == [SINKHOLE]
    refused = api.call("DELETE", "/api/policies/schools?reason=x", ADMIN, If_Match=made.etag)
    assert (refused.status, refused.body["errors"][0]["key"]) == (422, "tenant[0].policy")
    assert [one["name"] for one in api.call("GET", "/api/policies", ADMIN).body] == ["schools"]


def test_a_pause_has_an_end(api: Api) -> None:
    """Blocking is paused for a tenant, in every worker when the answer comes, and comes back by itself or by command."""
    create(api, "leeds", {"networks": ["127.0.0.0/8"]})
    names = [f"p{number}.bad.example" for number in range(8)]

    def blocked() -> set[bool]:
        return {api.pdns.addresses(name) == [SINKHOLE] for name in names}

    assert blocked() == {True}
    assert api.call("POST", "/api/tenants/leeds/pause", ADMIN, {"reason": "x"}).status == 409  # without an end
    assert api.call("POST", "/api/tenants/nowhere/pause", ADMIN, {"reason": "x", "for": "1h"}).status == 404
    assert api.call("POST", "/api/tenants/leeds/pause", ADMIN, {"reason": "outage", "for": "1h"}).status == 200
    assert blocked() == {False}
    assert api.call("GET", "/api/tenants/leeds/pause", ADMIN).body["reason"] == "outage"
    assert api.call("POST", "/api/tenants/leeds/resume", ADMIN, {}).status == 200
    assert blocked() == {True}
    assert api.call("POST", "/api/tenants/leeds/resume", ADMIN, {}).status == 409
    assert api.call("POST", "/api/tenants/leeds/pause", ADMIN, {"reason": "outage", "for": "1s"}).status == 200
    api.pdns.wait_for(lambda: blocked() == {True}, "blocked again")


def test_entries_of_a_tenant(api: Api) -> None:
    """They count for its clients alone, and are listed and removed by themselves."""
    create(api, "leeds", {"networks": ["127.0.0.0/8"]})
    create(api, "york", {"networks": ["10.9.0.0/16"]})
    entry = {"action": "block", "name": "own.example", "reason": "x"}
    assert api.call("POST", "/api/tenants/york/indicators", ADMIN, entry).status == 200
    assert api.pdns.addresses("own.example") == [UPSTREAM_SAYS]
    assert api.call("POST", "/api/tenants/leeds/indicators", ADMIN, entry).status == 200
    assert api.pdns.addresses("own.example") == [SINKHOLE]
    assert [one["tenant"] for one in api.call("GET", "/api/indicators", ADMIN).body] == ["york", "leeds"]
    assert api.call("DELETE", "/api/tenants/leeds/indicators/own.example", ADMIN).status == 200
    assert api.pdns.addresses("own.example") == [UPSTREAM_SAYS]
    assert [one["name"] for one in api.call("GET", "/api/tenants/york/indicators", ADMIN).body] == ["own.example"]
    assert api.call("DELETE", "/api/indicators/own.example", ADMIN).status == 409  # none for everyone


@pytest.mark.parametrize("queries_per_s", [1000, pytest.param(10_000, marks=pytest.mark.long)])
def test_a_tenant_under_load(api: Api, queries_per_s: int) -> None:
    """Under load a tenant comes and goes ten times: in force when the answer comes, and within a second; no query is lost."""
    with Load(api.pdns.dns_port, "moving.example", queries_per_s) as load:
        for _ in range(10):
            began_s = time.monotonic()
            made = create(api, "leeds", {"networks": ["127.0.0.0/8"], "allow": ["moving.example"]})
            assert made.status == 201, made
            assert api.pdns.addresses("moving.example") == [UPSTREAM_SAYS]
            took_s = time.monotonic() - began_s
            assert api.call("DELETE", "/api/tenants/leeds?reason=x", ADMIN, If_Match=made.etag).status == 200
            assert api.pdns.addresses("moving.example") == [SINKHOLE]
            assert took_s < 1.0
    assert load.lost == 0
    assert {(one.rcode, one.address) for one in load.received} == {(0, bytes((192, 0, 2, 7))), (0, bytes((192, 0, 2, 1)))}


def test_the_version_of_what_is_live(api: Api) -> None:
    """Hashes of the configuration and of the blockset, and what each worker uses; they change with what they are of."""
    before = api.call("GET", "/api/version", ADMIN).body
    assert [worker["blockset_generation"] for worker in before["workers"]] == [before["blockset_generation"]] * 2
    assert len(before["blockset_manifest_sha256"]) == 64
    create(api, "leeds", LEEDS)
    after = api.call("GET", "/api/version", ADMIN).body
    assert after["config_sha256"] != before["config_sha256"]
    assert list(after["config_files"]) == [str(api.pdns.config_path), str(kept(api))]
    assert READER not in str(after)
