"""What the running server says of itself, for commands that tell more when it runs."""

from __future__ import annotations

from urllib.request import ProxyHandler, build_opener

from prometheus_client.parser import text_string_to_metric_families

from pdns.config.addresses import parse_endpoint, reachable
from pdns.config.schema import Config
from pdns.telemetry.upstream_states import states_of

_PATIENCE_S = 1.0
_MOST_BYTES = 64 * 1024 * 1024


def upstream_states(config: Config) -> dict[str, str]:
    """The state of each upstream by the metrics of the server that runs with this configuration; empty when none answers."""
    where = reachable(parse_endpoint(config.metrics.listen))
    direct = build_opener(ProxyHandler({}))
    try:
        with direct.open(f"http://{where}/metrics", timeout=_PATIENCE_S) as response:
            page = response.read(_MOST_BYTES).decode()
        gauges: dict[str, dict[str, float]] = {"pdns_upstream_up": {}, "pdns_upstream_useful": {}}
        for family in text_string_to_metric_families(page):
            if family.name in gauges:
                gauges[family.name] |= {sample.labels["upstream"]: sample.value for sample in family.samples}
    except (OSError, ValueError, KeyError):
        return {}
    return states_of(gauges["pdns_upstream_up"], gauges["pdns_upstream_useful"])
