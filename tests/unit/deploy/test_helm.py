"""The chart in deploy/helm: valid for every set of values, with a configuration that the program accepts."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from pdns.config.schema import MADE_FIELDS, Config
from pdns.supervisor.serve import Supervisor
from tests.certificates import issue, write_pair
from tests.unit.deploy.gotools import HELM, ROOT, THERE, TOOLS, Json, rendered, run, write_schemas
from tests.unit.events.mailserver import certificate

CHART = ROOT / "deploy/helm/pdns"
SETS = sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").iterdir())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
INSIDE = "/etc/protective-dns"

pytestmark = pytest.mark.skipif(not THERE, reason="tests/install-go-tools has not built helm")


def values_of(name: str) -> Path:
    return CHART / f"ci/{name}-values.yaml"


@pytest.fixture(scope="module")
def manifests() -> dict[str, str]:
    return {name: rendered(CHART, "--values", values_of(name)) for name in SETS}


def objects(text: str, kind: str = "") -> list[Json]:
    """The objects of a kind; in every template there is at most one of a kind and a role."""
    return [one for one in yaml.safe_load_all(text) if one and (not kind or one["kind"] == kind)]


def workload(text: str) -> Json:
    (found,) = [one for one in objects(text) if one["kind"] in ("StatefulSet", "DaemonSet", "Deployment")]
    return found


def config_files(text: str, directory: Path) -> Path:
    """The configuration as a pod sees it, below `directory`; its path."""
    (data,) = [one["data"] for one in objects(text, "ConfigMap") if "pdns.toml" in one["data"]]
    keys = directory / "keys"
    keys.mkdir()
    moved = data["pdns.toml"].replace(f'"{INSIDE}/', f'"{directory}/').replace("/run/secrets/protective-dns-keys", str(keys))
    (directory / "pdns.toml").write_text(moved)
    if "extra.toml" in data:
        (directory / "conf.d").mkdir()
        (directory / "conf.d/50-extra.toml").write_text(data["extra.toml"])
    for file in re.findall(f'"{re.escape(str(directory))}/([a-z]+/[a-z.]+)"', moved):
        path = directory / file
        path.parent.mkdir(exist_ok=True)
        path.write_text("a-token-that-is-long-enough-to-be-accepted-0123456789\n")
    if (directory / "certificate").exists():
        for made, name in zip(write_pair(directory, issue()), ("tls.crt", "tls.key"), strict=True):
            made.rename(directory / "certificate" / name)
    if (directory / "admin").exists():
        for made, name in zip(certificate(directory), ("tls.crt", "tls.key"), strict=True):
            made.rename(directory / "admin" / name)
    return directory / "pdns.toml"


def test_there_are_a_dozen_sets_of_values() -> None:
    """Each kind of pod, of service and of role is rendered."""
    assert len(SETS) >= 12


@pytest.mark.parametrize("name", SETS)
def test_helm_has_nothing_to_say(name: str) -> None:
    """`helm lint --strict` accepts each set of values."""
    said = run(HELM, "lint", "--strict", CHART, "--values", values_of(name))
    assert "[WARNING]" not in said
    assert "[ERROR]" not in said


def test_kubernetes_knows_every_key(manifests: dict[str, str], tmp_path: Path) -> None:
    """Each manifest fits the schemas of Kubernetes and of the Prometheus operator, which are here and not fetched."""
    write_schemas(tmp_path)
    pattern = f"file://{tmp_path}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"
    all_of_them = "\n---\n".join(manifests.values())
    said = run(TOOLS / "kubeconform", "-strict", "-summary", "-schema-location", pattern, "-", text=all_of_them)
    assert "Invalid: 0, Errors: 0, Skipped: 0" in said
    wrong = all_of_them.replace("terminationGracePeriodSeconds", "terminationGraceSeconds")
    done = subprocess.run(
        [TOOLS / "kubeconform", "-strict", "-schema-location", pattern, "-"],
        input=wrong,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "terminationGraceSeconds" in done.stdout


def test_the_policy_checker_has_only_known_remarks(manifests: dict[str, str]) -> None:
    """Pods have no CPU limit on purpose, and tags of images do not move."""
    known = ["--ignore-container-cpu-limit", "--ignore-test=container-image-pull-policy"]
    known.append("--ignore-test=statefulset-has-servicename")  # it does not know headless services by label
    for name in ("default", "deployment-hpa", "daemonset-surge", "council"):
        text = "\n---\n".join(yaml.safe_dump(one) for one in objects(manifests[name]) if one["kind"] != "Pod")
        run(TOOLS / "kube-score", "score", *known, "-", text=text)


@pytest.mark.parametrize("name", SETS)
def test_the_program_accepts_its_configuration(manifests: dict[str, str], tmp_path: Path, name: str) -> None:
    """`pdns check` of the files as a pod sees them."""
    path = config_files(manifests[name], tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pdns", "check", "-c", path], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_encrypted_transports(manifests: dict[str, str]) -> None:
    """The ports of the service lead to those of the pod, where the configuration listens, and clients may reach them."""
    text = manifests["encrypted"]
    (service,) = [one for one in objects(text, "Service") if one["spec"]["type"] == "LoadBalancer"]
    ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}
    assert ports == {"dns-udp": 53, "dns-tcp": 53, "dns-tls": 853, "dns-https": 443}
    (pod,) = workload(text)["spec"]["template"]["spec"]["containers"]
    inside = {port["name"]: port["containerPort"] for port in pod["ports"]}
    (data,) = [one["data"] for one in objects(text, "ConfigMap") if "pdns.toml" in one["data"]]
    listening = {one["transport"]: one["listen"] for one in tomllib.loads(data["pdns.toml"])["listener"]}
    for transport in ("tls", "https"):
        port = inside[f"dns-{transport}"]
        assert listening[transport] == [f"0.0.0.0:{port}", f"[::]:{port}"]
    (policy,) = objects(text, "NetworkPolicy")
    assert {"dns-tls", "dns-https"} <= {port["port"] for port in policy["spec"]["ingress"][0]["ports"]}


def test_every_value_has_a_place_in_the_schema() -> None:
    """And the schema allows no value that values.yaml does not show."""

    def compare(values: Any, schema: Json, at: str) -> None:
        if schema.get("additionalProperties") is False and not at.endswith((".config", ".resources")):
            assert set(values) == set(schema["properties"]) - {"global"}, at
        for key, value in values.items() if isinstance(values, dict) else ():
            if key in schema.get("properties", {}):
                compare(value, schema["properties"][key], f"{at}.{key}")

    compare(VALUES, SCHEMA, "values")


def test_sections_of_the_configuration_are_those_of_the_program() -> None:
    """All but `state`, which belongs to the chart."""
    made = {*MADE_FIELDS, "state"}
    assert set(SCHEMA["properties"]["config"]["properties"]) == set(Config.__struct_fields__) - made


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ("replica: 3", "replica"),
        ("service: { externalTrafficPolicy: local }", "externalTrafficPolicy"),
        ("config: { servers: {} }", "servers"),
        ('config: { server: { listen: ["0.0.0.0:53"] } }', "server"),
        ("dnsPolicy: ClusterFirst", "may forward to this service"),
        ("kind: DaemonSet\nautoscaling: { enabled: true }", "one pod on each node"),
        ("fleet: { role: node, store: x }", "root.json of its publisher"),
        ("fleet: { role: publisher, store: x, keysSecret: k }", "replicas must be 1"),
        ("admin: { enabled: true }", "tokenSecret and tlsSecret"),
        ("dns: { ipv4: false }", "one of ipv4 and ipv6"),
        ("secretFiles: { existingSecret: a, create: { b: c } }", "not both"),
    ],
)
def test_wrong_values_are_refused(tmp_path: Path, values: str, reason: str) -> None:
    """By the schema or by the chart, with the reason."""
    (tmp_path / "values.yaml").write_text(values)
    command = (HELM, "template", "r", CHART, "--kube-version=1.34.0", "--values", tmp_path / "values.yaml")
    assert reason in run(*command, ok=False)


@pytest.mark.parametrize("name", SETS)
def test_pods_are_confined_and_end_in_order(manifests: dict[str, str], name: str) -> None:
    """No privilege, a root file system that is read only, and time for the sleep, the drain and the end."""
    spec = workload(manifests[name])["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    security = container["securityContext"]
    assert security["capabilities"]["drop"] == ["ALL"]
    assert security["readOnlyRootFilesystem"]
    assert not security["allowPrivilegeEscalation"]
    assert spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    assert spec["securityContext"]["runAsNonRoot"]
    low = container["ports"][0]["containerPort"] < 1024
    assert security["capabilities"].get("add", []) == ["NET_BIND_SERVICE"] * low
    sleep_s = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    drain_s = float(re.findall(r"drain_s = (\S+)", manifests[name])[0])
    assert spec["terminationGracePeriodSeconds"] >= sleep_s + drain_s + 10
    assert {container[probe]["httpGet"]["path"] for probe in ("livenessProbe", "startupProbe")} == {"/healthz"}
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert all("subPath" not in mount for mount in container["volumeMounts"])


def test_no_query_is_lost_by_an_update(manifests: dict[str, str]) -> None:
    """New pods come first where there is room; a StatefulSet has another replica."""
    assert workload(manifests["deployment-hpa"])["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    surge = workload(manifests["daemonset-surge"])["spec"]["updateStrategy"]["rollingUpdate"]
    assert surge == {"maxUnavailable": 0, "maxSurge": 1}
    assert workload(manifests["default"])["spec"]["replicas"] > 1
    assert "replicas" not in workload(manifests["deployment-hpa"])["spec"]
    services = [
        one["spec"] for name in SETS for one in objects(manifests[name], "Service") if one["spec"].get("clusterIP") != "None"
    ]
    assert {one.get("externalTrafficPolicy", "Local") for one in services} == {"Local"}
    plain = [[port for port in one["ports"] if port["name"] in ("dns-udp", "dns-tcp")] for one in services]
    assert all([port["protocol"] for port in ports] == ["UDP", "TCP"] for ports in plain)
    assert all(port["protocol"] == "TCP" for one in services for port in one["ports"] if port["name"] != "dns-udp")


def test_a_change_of_the_configuration_replaces_pods() -> None:
    """Unless the program is to load it by itself."""

    def checksum(*arguments: str | Path) -> str | None:
        annotations = workload(rendered(CHART, *arguments))["spec"]["template"]["metadata"]["annotations"]
        found: str | None = annotations.get("checksum/config")
        return found

    assert checksum() == checksum() != checksum("--set", "config.cache.max_bytes=1000000")
    assert checksum() != checksum("--set-string", "extraConfig=x")
    assert checksum("--set", "rolloutOnConfigChange=false") is None


def test_rules_and_dashboards_are_those_of_deploy(manifests: dict[str, str]) -> None:
    """There is no second copy of them: the chart reads the files of deploy/prometheus and deploy/grafana."""
    (rule,) = objects(manifests["watched"], "PrometheusRule")
    shipped = [
        group
        for file in ("rules.yml", "alerts.yml")
        for group in yaml.safe_load((ROOT / "deploy/prometheus" / file).read_text())["groups"]
    ]
    text = json.dumps(shipped).replace('"docs/', '"https://git.example/pdns/docs/')
    assert rule["spec"]["groups"] == json.loads(text)
    boards = {
        file: content
        for one in objects(manifests["watched"], "ConfigMap")
        if "dashboard" in one["metadata"]["name"]
        for file, content in one["data"].items()
    }
    assert boards == {path.name: path.read_text() for path in (ROOT / "deploy/grafana/dashboards").iterdir()}
    (monitor,) = objects(manifests["watched"], "ServiceMonitor")
    assert {"targetLabel": "job", "replacement": "pdns"} in monitor["spec"]["endpoints"][0]["relabelings"]
    shipped_job = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"][0]["job_name"]
    assert shipped_job == "pdns"


def test_a_package_has_the_rules(tmp_path: Path) -> None:
    """`helm package` puts the files behind the links into the archive."""
    run(HELM, "package", CHART, "--destination", tmp_path)
    (archive,) = tmp_path.glob("*.tgz")
    shutil.unpack_archive(archive, tmp_path)
    assert (tmp_path / "pdns/files/prometheus/alerts.yml").read_text() == (ROOT / "deploy/prometheus/alerts.yml").read_text()
    assert len(archive.read_bytes()) < 500_000  # a release is kept in a Secret of at most 1 MiB


def test_the_grace_is_that_of_the_supervisor() -> None:
    """The chart counts on what the program promises: at most drain_s and ten seconds."""
    assert "at most `drain_s` and ten seconds" in (sys.modules[Supervisor.__module__].__doc__ or "")
