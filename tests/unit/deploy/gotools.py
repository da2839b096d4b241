"""The programs that tests/install-go-tools builds, and schemas of Kubernetes as kubeconform reads them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[3]
TOOLS: Final = ROOT / "build/tools"
HELM: Final = TOOLS / "helm"
COMPOSE_GO: Final = TOOLS / "compose-go"
THERE: Final = (TOOLS / "stamp").exists()
_KUBERNETES: Final = "34"  # version 1.x that the chart is rendered for

Json = dict[str, Any]


def run(*command: str | Path, ok: bool = True, text: str | None = None) -> str:
    """What `command` prints, or with `ok=False` what it complains of."""
    done = subprocess.run([str(part) for part in command], input=text, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode == 0) is ok, done.stdout + done.stderr
    return done.stdout if ok else done.stderr


def rendered(chart: Path, *arguments: str | Path) -> str:
    """The manifests of the release `r` in the namespace `dns`."""
    return run(HELM, "template", "r", chart, "--namespace", "dns", f"--kube-version=1.{_KUBERNETES}.0", *arguments)


def write_schemas(directory: Path) -> None:
    """Files that kubeconform finds with {{.ResourceKind}}.json. Keys that Kubernetes does not know are refused."""
    swagger = json.loads((TOOLS / "schemas/kubernetes.json").read_text())["definitions"]
    definitions = {name: _strict(definition) for name, definition in swagger.items()}
    definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"] = {"type": ["string", "number"]}
    definitions["io.k8s.apimachinery.pkg.util.intstr.IntOrString"] = {"type": ["string", "integer"]}
    (directory / "definitions.json").write_text(json.dumps({"definitions": definitions}))
    for name, definition in swagger.items():
        for kind in definition.get("x-kubernetes-group-version-kind", ()):
            if "." not in kind["version"] and name.startswith("io.k8s.api."):
                parts = [kind["kind"].lower(), kind["group"].split(".")[0], kind["version"]]
                path = directory / f"{'-'.join(filter(None, parts))}.json"
                path.write_text(json.dumps({"$ref": f"definitions.json#/definitions/{name}"}))
    for crd in ("servicemonitors", "prometheusrules"):
        spec = json.loads((TOOLS / f"schemas/{crd}.json").read_text())["spec"]
        (version,) = spec["versions"]
        schema = _strict(version["schema"]["openAPIV3Schema"])
        schema["properties"]["metadata"] = {"type": "object"}
        path = directory / f"{spec['names']['kind'].lower()}-monitoring-{version['name']}.json"
        path.write_text(json.dumps(schema))


def _strict(schema: Any) -> Any:
    """`schema` without texts, in which objects have no other properties than those named."""
    if isinstance(schema, list):
        return [_strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["string", "integer"]}
    found: Json = {}
    for key, value in schema.items():
        if key == "properties":
            found[key] = {name: _strict(one) for name, one in value.items()}
        elif key == "$ref":
            found[key] = f"definitions.json{value}"
        elif key != "description" and not key.startswith("x-kubernetes"):
            found[key] = _strict(value)
    if "properties" in found:
        found.setdefault("additionalProperties", False)
    return found
