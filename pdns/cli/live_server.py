"""What the running server says of itself, for commands that tell more when it runs."""

from __future__ import annotations

from http.client import HTTPException
from threading import Thread
from urllib.request import HTTPRedirectHandler, ProxyHandler, build_opener

from prometheus_client.parser import text_string_to_metric_families

from pdns.config.addresses import parse_endpoint, reachable
from pdns.config.schema import Config
from pdns.telemetry.upstream_states import states_of

_PATIENCE_S = 1.0
_MOST_BYTES = 64 * 1024 * 1024


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_args: object) -> None:
        return None


def upstream_states(config: Config) -> dict[str, str]:
    """The state of each upstream by the metrics of the server that runs with this configuration; empty when none answers in a
    second, or what answers is another program.
    """
    where = reachable(parse_endpoint(config.metrics.listen))
    found: dict[str, str] = {}
    # a thread: what listens there may send a byte now and then, without an end
    reader = Thread(target=lambda: found.update(_read(f"http://{where}/metrics")), daemon=True)
    reader.start()
    reader.join(_PATIENCE_S)
    return found


def _read(url: str) -> dict[str, str]:
    direct = build_opener(ProxyHandler({}), _NoRedirects)
    try:
        with direct.open(url, timeout=_PATIENCE_S) as response:
            page = response.read(_MOST_BYTES).decode()
        gauges: dict[str, dict[str, float]] = {"pdns_upstream_up": {}, "pdns_upstream_useful": {}}
        for family in text_string_to_metric_families(page):
            if family.name in gauges:
                gauges[family.name] |= {sample.labels["upstream"]: sample.value for sample in family.samples}
    except (OSError, HTTPException, ValueError, LookupError):
        return {}
    return states_of(gauges["pdns_upstream_up"], gauges["pdns_upstream_useful"])
