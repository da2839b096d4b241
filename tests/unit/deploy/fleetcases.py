"""For each alert about a fleet: time series that make it fire, and the nearest ones that do not."""

from __future__ import annotations

from typing import Final

from tests.unit.deploy.alertcase import AlertCase

_A: Final = 'pdns_blockset_info{ring="all", release="7", hash="aa"}'
_B: Final = 'pdns_blockset_info{ring="all", release="7", hash="bb"}'
_EARLIER: Final = 'pdns_blockset_info{ring="all", release="6", hash="aa"}'
_FIRST: Final = 'pdns_blockset_info{ring="first", release="8", hash="cc"}'
_PUBLISHER: Final = 'pdns_blockset_info{ring="publisher", release="8", hash="cc"}'


def _ring(name: str) -> str:
    return f'pdns_fleet_ring_release{{ring="{name}"}}'


FLEET: Final = (
    AlertCase(
        "PdnsFleetTwoHashes", "5m", {_A: "1x9", _B: "1x9"},
        ({_A: "1x9", _FIRST: "1x9", _PUBLISHER: "1x9"}, {_EARLIER: "1 1 stale", _A: "_ 1x9"}, {_A: "1x9", _B: "1 1 1 stale"}),
        "ring all: nodes block by 2 different blocksets", {"ring": "all"}, whole=True,
    ),
    AlertCase(
        "PdnsFleetPointerOld", "10m", {"pdns_fleet_pointer_expires_seconds": "-60x20"},
        ({"pdns_fleet_pointer_expires_seconds": "60x20", "pdns_fleet_pointer_age_seconds": "20000x20"},
         {"pdns_fleet_pointer_expires_seconds": "-60x3 80000x20"}),
        "the newest pointer of the fleet is too old: new lists do not arrive",
    ),
    AlertCase(
        "PdnsFleetStoreDown", "15m", {"pdns_fleet_store_up": "0x20"}, ({"pdns_fleet_store_up": "0x8 1 0x8"},),
        "the object store of the fleet does not answer as it should; the last release stays in force",
    ),
    AlertCase(
        "PdnsFleetBehind", "15m", {"pdns_fleet_release_lag": "2x20", "pdns_fleet_pinned": "0x20"},
        ({"pdns_fleet_release_lag": "2x20", "pdns_fleet_pinned": "1x20"}, {"pdns_fleet_release_lag": "2x8 0 1x8"}),
        "2 releases behind its ring",
    ),
    AlertCase(
        "PdnsFleetRingStuck", "270m", {_ring("first"): "8x300", _ring("early"): "8x300", _ring("all"): "7x300"},
        ({_ring("first"): "8x300", _ring("early"): "8x300", _ring("all"): "8x300"},
         {_ring("first"): "8+1x300", _ring("early"): "8+1x300", _ring("all"): "7+1x300"}),
        "ring all has had no new release for two hours, and there is one", {"ring": "all"},
    ),
    AlertCase(
        "PdnsFleetReleaseRefused", "20m", {'pdns_fleet_releases_total{result="refused"}': "0 1x30"},
        ({'pdns_fleet_releases_total{result="applied"}': "0 1x30"},),
        "a release was refused; the one before stays in force", {"result": "refused"},
    ),
    AlertCase(
        "PdnsFleetForged", "20m", {'pdns_fleet_polls_total{result="refused"}': "0 1x30"},
        ({'pdns_fleet_polls_total{result="unreachable"}': "0 1x30"},),
        "the store has served what is not signed by the publisher, or is older than before", {"result": "refused"},
    ),
    AlertCase(
        "PdnsFleetFenced", "5m", {"pdns_fleet_fenced": "1x9"}, ({"pdns_fleet_fenced": "0x9"},),
        "this publisher has stopped: another one writes to its store",
    ),
    AlertCase(
        "PdnsFleetNodeMissing", "15m", {'pdns_fleet_nodes{ring="all", state="missing"}': "3x20"},
        ({'pdns_fleet_nodes{ring="all", state="behind"}': "3x20"}, {'pdns_fleet_nodes{ring="all", state="missing"}': "3x8 0x9"}),
        "3 nodes of ring all have sent no heartbeat for five minutes", {"ring": "all"},
    ),
    AlertCase(
        "PdnsFleetCompiledDiffers", "15m", {"pdns_fleet_compiled_differs": "1x20"}, ({"pdns_fleet_compiled_differs": "1x8 0x9"},),
        "its compiled files differ from those of the publisher",
    ),
    AlertCase(
        "PdnsFleetPolicyRefused", "15m", {"pdns_fleet_policy_refused": "1x20"}, ({"pdns_fleet_policy_refused": "1x8 0x9"},),
        "the policy of the release is not in force here",
    ),
)  # fmt: skip
