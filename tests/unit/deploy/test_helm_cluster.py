"""What the chart tells a cluster about evictions and networks."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.unit.deploy.gotools import THERE, Json, rendered
from tests.unit.deploy.test_helm import CHART, objects
from tests.unit.test_docs import ROOT, blocks

pytestmark = pytest.mark.skipif(not THERE, reason="tests/install-go-tools has not built helm")


def test_a_daemonset_has_no_budget() -> None:
    """Kubernetes finds no number of replicas for its pods, and would refuse every eviction."""
    assert objects(rendered(CHART, "--set", "kind=DaemonSet"), "PodDisruptionBudget") == []


@pytest.mark.parametrize("kind", ["StatefulSet", "Deployment"])
def test_a_pod_that_serves_no_client_keeps_no_node_from_being_drained(kind: str) -> None:
    """Neither one that is not ready, nor the only one."""
    (budget,) = objects(rendered(CHART, "--set", f"kind={kind},replicas=1"), "PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 1
    assert "minAvailable" not in budget["spec"]
    assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_rules_of_the_page_are_added(tmp_path: Path) -> None:
    """docs/kubernetes.md: pods as clients and a store in the cluster, beside what is allowed anyway."""
    (shown,) = [text for text in blocks(ROOT / "docs/kubernetes.md", "yaml") if "extraIngress" in text]
    (tmp_path / "values.yaml").write_text(shown)
    added: Json = yaml.safe_load(shown)["networkPolicy"]

    def rules(*arguments: str | Path) -> tuple[list[Json], list[Json]]:
        (policy,) = objects(rendered(CHART, *arguments), "NetworkPolicy")
        return policy["spec"]["ingress"], policy["spec"]["egress"]

    before, after = rules(), rules("--values", tmp_path / "values.yaml")
    assert after == (before[0] + added["extraIngress"], before[1] + added["extraEgress"])
