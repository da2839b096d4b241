"""deploy/compose: the file fits the Compose Specification, what it mounts is there, and each program accepts its own files."""

from __future__ import annotations

import json
import re
import shutil
import stat
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.deploy.gotools import COMPOSE_GO, ROOT, THERE, run

COMPOSE = ROOT / "deploy/compose"
TEXT = (COMPOSE / "compose.yaml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]


def config_for(directory: Path) -> Path:
    """pdns.toml, with the secrets of `directory` in place of those of the container."""
    (directory / "pdns.toml").write_text((COMPOSE / "pdns.toml").read_text().replace("/run/secrets", str(directory / "secrets")))
    return directory / "pdns.toml"


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory in which make-secrets was run, as the page says."""
    directory = tmp_path_factory.mktemp("compose")
    shutil.copy(COMPOSE / "make-secrets", directory)
    (directory / "secrets").mkdir()
    (directory / "secrets/alert_token").write_text("a token")
    subprocess.run([directory / "make-secrets"], check=True, timeout=60)
    return directory


@pytest.mark.skipif(not THERE, reason="tests/install-go-tools has not built compose-go")
def test_it_fits_the_specification(tmp_path: Path) -> None:
    """The loader of the specification accepts it, and refuses a key that does not exist."""
    plain = re.sub(r"\$\{(\w+):[?-][^}]*\}", lambda found: {"PDNS_ADDRESS": "192.0.2.10"}.get(found[1], "image"), TEXT)
    (tmp_path / "compose.yaml").write_text(plain)
    loaded = json.loads(run(COMPOSE_GO, "-format", "json", "-no-path-resolution", tmp_path / "compose.yaml"))
    assert set(loaded["services"]) == set(SERVICES)
    assert [port["published"] for port in loaded["services"]["pdns"]["ports"]] == ["53", "53"]
    (tmp_path / "compose.yaml").write_text(plain.replace("read_only:", "readonly:"))
    assert "readonly" in run(COMPOSE_GO, "-no-path-resolution", tmp_path / "compose.yaml", ok=False)


def test_what_is_mounted_is_there(secrets: Path) -> None:
    """Files of the repository, and secrets that make-secrets writes or asks for."""
    mounted = [volume.split(":") for service in SERVICES.values() for volume in service["volumes"]]
    for source, _, *options in mounted:
        if source.startswith("."):
            assert (COMPOSE / source).exists(), source
            assert options == ["ro"], source
        else:
            assert source in yaml.safe_load(TEXT)["volumes"]
    files = {name: one["file"] for name, one in yaml.safe_load(TEXT)["secrets"].items()}
    assert {name for service in SERVICES.values() for name in service.get("secrets", ())} == set(files)
    for file in files.values():
        assert (secrets / file).stat().st_size > 0, file


@pytest.mark.parametrize("name", SERVICES)
def test_services_are_confined(name: str) -> None:
    """No root, no capability, a root file system that is read only, a limit of memory, a health check; no moving tag."""
    service = SERVICES[name]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["user"].split(":")[0]) > 0
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["deploy"]["resources"]["limits"]["memory"]
    assert ":" in service["image"].rpartition("/")[2]
    assert not any("PASSWORD" in key and not key.endswith("__FILE") for key in service.get("environment", ()))


def test_only_the_resolver_is_reachable() -> None:
    """Ports of others are on loopback; metrics and events have a network that leads nowhere."""
    assert yaml.safe_load(TEXT)["networks"]["metrics"] == {"internal": True}
    for name, service in SERVICES.items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:" if name != "pdns" else "${PDNS_ADDRESS:?")
    assert SERVICES["clickhouse"]["networks"] == SERVICES["prometheus"]["networks"] == ["metrics"]


def test_passwords_are_made_once(secrets: Path) -> None:
    """Each is different and stays; only the owner can look into the directory; a missing token is asked for."""
    names = ("grafana_admin_password", "clickhouse_pdns_password", "clickhouse_grafana_password")
    before = [(secrets / "secrets" / name).read_text() for name in names]
    assert len(set(before)) == 3
    assert all(len(one) == 48 for one in before)
    assert stat.S_IMODE((secrets / "secrets").stat().st_mode) == 0o700
    subprocess.run([secrets / "make-secrets"], check=True, timeout=60)
    assert [(secrets / "secrets" / name).read_text() for name in names] == before
    (secrets / "secrets/alert_token").rename(secrets / "token")
    done = subprocess.run([secrets / "make-secrets"], capture_output=True, text=True, timeout=60, check=False)
    (secrets / "token").rename(secrets / "secrets/alert_token")
    assert done.returncode == 1
    assert "alert_token is missing" in done.stderr


def test_the_certificate_is_that_of_clickhouse(secrets: Path) -> None:
    """Pdns verifies it by name against the authority that it is given."""
    made = secrets / "secrets"
    command = [
        "openssl",
        "verify",
        "-CAfile",
        str(made / "clickhouse_ca"),
        "-verify_hostname",
        "clickhouse",
        "-purpose",
        "sslserver",
    ]
    subprocess.run([*command, str(made / "clickhouse_certificate")], check=True, capture_output=True)


def test_clickhouse_knows_the_users(secrets: Path) -> None:
    """Names and hashes agree: what server.xml includes has what users.xml asks for."""
    server, users = (ET.parse(COMPOSE / "clickhouse" / file).getroot() for file in ("server.xml", "users.xml"))
    made = ET.parse(secrets / "secrets/clickhouse_passwords").getroot()
    assert server.findtext("include_from") == users.findtext("include_from") == "/run/secrets/clickhouse_passwords"
    asked = {element.get("incl") for element in users.iter("password_sha256_hex")}
    assert asked == {element.tag for element in made}
    assert all(re.fullmatch("[0-9a-f]{64}", element.text or "") for element in made)
    ports = (server.findtext("https_port"), server.findtext("tcp_port_secure"))
    sources = yaml.safe_load((COMPOSE / "grafana/datasources.yml").read_text())["datasources"]
    assert ports == ("8443", str(sources[1]["jsonData"]["port"]))


def test_the_program_accepts_its_configuration(secrets: Path, tmp_path: Path) -> None:
    """`pdns check` has nothing to say about it."""
    shutil.copytree(secrets / "secrets", tmp_path / "secrets")
    command = [sys.executable, "-m", "pdns", "check", "-c", str(config_for(tmp_path))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def in_one_place(directory: Path) -> Path:
    """The files of Prometheus as they are mounted."""
    for volume in SERVICES["prometheus"]["volumes"]:
        source, target, *_ = volume.split(":")
        if source.startswith("."):
            shutil.copy(COMPOSE / source, directory / Path(target).name)
    return directory / "prometheus.yml"


@pytest.mark.skipif(shutil.which("promtool") is None, reason="prometheus is not installed")
def test_prometheus_accepts_its_files(tmp_path: Path) -> None:
    """Also the rules that it loads."""
    said = run("promtool", "check", "config", in_one_place(tmp_path))
    assert "SUCCESS: 2 rule files found" in said


@pytest.mark.skipif(shutil.which("amtool") is None, reason="prometheus-alertmanager is not installed")
def test_alertmanager_accepts_its_file() -> None:
    """And sends pages to the pager, everything else to the tickets."""
    file = COMPOSE / "alertmanager.yml"
    run("amtool", "check-config", file)
    for severity, receiver in (("page", "pager"), ("ticket", "tickets"), ("", "tickets")):
        said = run("amtool", "config", "routes", "test", f"--config.file={file}", f"severity={severity}", "alertname=X")
        assert said.strip() == receiver


def test_grafana_finds_sources_and_dashboards() -> None:
    """The sources are those of the sample but for where they are, and the dashboards are where their provider looks."""
    ours, sample = (
        yaml.safe_load(path.read_text())["datasources"]
        for path in (COMPOSE / "grafana/datasources.yml", ROOT / "deploy/grafana/provisioning/datasources/pdns.yml")
    )
    assert [(one["uid"], one["type"], one["name"]) for one in ours] == [(one["uid"], one["type"], one["name"]) for one in sample]
    for one, other in zip(ours, sample, strict=True):
        moved = {"host", "port", "secure", "tlsAuthWithCACert"}
        assert {key: one["jsonData"][key] for key in set(one["jsonData"]) - moved} == {
            key: other["jsonData"][key] for key in set(other["jsonData"]) - moved
        }
    provider = yaml.safe_load((ROOT / "deploy/grafana/provisioning/dashboards/pdns.yml").read_text())["providers"][0]
    targets = {volume.split(":")[1]: volume.split(":")[0] for volume in SERVICES["grafana"]["volumes"]}
    assert sorted((COMPOSE / targets[provider["options"]["path"]]).glob("*.json"))
    assert {url.partition("//")[2].partition(":")[0] for url in re.findall(r"url: (http\S+)", yaml.safe_dump(ours))} <= set(
        SERVICES
    )
    assert ours[1]["jsonData"]["host"] in SERVICES
