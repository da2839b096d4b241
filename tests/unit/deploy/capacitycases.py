"""Cases of the alerts about capacity (`tests.unit.deploy.alertcases`)."""

from __future__ import annotations

from typing import Final

from tests.unit.deploy.alertcase import AlertCase

_CPU = 'pdns_process_cpu_seconds_total{process="worker0"}'
_QUERIES = 'pdns_queries_total{tenant="t", transport="udp", qtype="A"}'
_CACHE = 'pdns_responses_total{tenant="t", source="cache", rcode="NOERROR"}'
_UPSTREAM = 'pdns_responses_total{tenant="t", source="upstream", rcode="NOERROR"}'
_REFUSED = 'pdns_responses_total{tenant="t", source="refused", rcode="REFUSED"}'
_WITHIN, _ALL = (f'pdns_query_duration_seconds_bucket{{le="{bound}", source="upstream"}}' for bound in ("0.5", "+Inf"))
_UP = {f'pdns_worker_up{{process="worker{at}"}}': "1x60" for at in range(2)}

CAPACITY: Final = (
    AlertCase(
        "PdnsWorkerBusy", "40m", {_CPU: "0+48x60"},
        ({_CPU: "0+40x60"}, {'pdns_process_cpu_seconds_total{process="feeds"}': "0+60x60"},
         {_CPU: "0+40x20 820+59x9 1400+40x30"}),
        "worker0 uses 80% of a core: little is left for a peak", {"process": "worker0"},
    ),
    AlertCase(
        "PdnsNearCapacity", "40m", {_QUERIES: "0+2100000x60", **_UP},
        ({_QUERIES: "0+1800000x60", **_UP}, {_QUERIES: "0+2100000x60", **_UP, 'pdns_worker_up{process="worker2"}': "1x60"}),
        "35k queries a second are more than 80 % of what its workers are sized for",
    ),
    AlertCase(
        "PdnsManyInFlight", "10m", {"pdns_in_flight": "6144x20", 'pdns_limit{of="in_flight"}': "8192x20"},
        ({"pdns_in_flight": "5700x20", 'pdns_limit{of="in_flight"}': "8192x20"},
         {"pdns_in_flight": "6144 6144 6144 0x20", 'pdns_limit{of="in_flight"}': "8192x20"}),
        "75% of the questions that may wait for upstreams do: beyond the limit, clients get SERVFAIL",
    ),
    AlertCase(
        "PdnsManyConnections", "20m", {"pdns_tcp_connections": "900x30", 'pdns_limit{of="tcp_connections"}': "1000x30"},
        ({"pdns_tcp_connections": "790x30", 'pdns_limit{of="tcp_connections"}': "1000x30"},
         {"pdns_tcp_connections": "900x30", 'pdns_limit{of="in_flight"}': "1000x30"}),
        "90% of the TCP connections that clients may have are open",
    ),
    AlertCase(
        "PdnsRefusesMany", "60m", {_CACHE: "0+5400x90", _REFUSED: "0+600x90"},
        ({_CACHE: "0+5800x90", _REFUSED: "0+200x90"}, {_CACHE: "0+54x90", _REFUSED: "0+6x90"}),
        "10% of the answers are refusals: clients exceed the rate limit, or are in no network of the configuration",
    ),
    AlertCase(
        "PdnsCacheTooSmall", "4h", {_CACHE: "0+500x300", _UPSTREAM: "0+500x300", "pdns_cache_evictions_total": "0+400x300"},
        ({_CACHE: "0+700x300", _UPSTREAM: "0+300x300", "pdns_cache_evictions_total": "0+400x300"},
         {_CACHE: "0+500x300", _UPSTREAM: "0+500x300", "pdns_cache_evictions_total": "0+50x300"}),
        "only 50% of the answers come from the cache, which drops answers to make room",
    ),
    AlertCase(
        "PdnsLatencyBudget", "80m", {_WITHIN: "0+980x120", _ALL: "0+1000x120"},
        ({_WITHIN: "0+995x120", _ALL: "0+1000x120"}, {_WITHIN: "0x120", _ALL: "0x120"}),
        "2% of the queries take longer than half a second; the budget is 1 %",
    ),
    AlertCase(
        "PdnsMemoryShort", "40m",
        {'pdns_process_resident_memory_bytes{process="worker0"}': "5e8x60",
         'pdns_process_resident_memory_bytes{process="worker1"}': "4e8x60", 'pdns_limit{of="memory_bytes"}': "1e9x60"},
        ({'pdns_process_resident_memory_bytes{process="worker0"}': "5e8x60",
          'pdns_process_resident_memory_bytes{process="worker1"}': "2e8x60", 'pdns_limit{of="memory_bytes"}': "1e9x60"},),
        "pdns uses 90% of the memory of the machine or container",
    ),
    AlertCase(
        "PdnsDiskFills", "20m", {"pdns_state_disk_free_bytes": "5e8x30", "pdns_state_disk_bytes": "1e10x30"},
        ({"pdns_state_disk_free_bytes": "2e9x30", "pdns_state_disk_bytes": "1e10x30"},
         {"pdns_state_disk_free_bytes": "5e8x9 2e9x20", "pdns_state_disk_bytes": "1e10x30"}),
        "5% of the disk of the state directory is free; when it is full, lists and events are no longer updated",
    ),
)  # fmt: skip
