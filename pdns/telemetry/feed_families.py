"""The families of feeds, published zones and the fleet: `pdns.telemetry.metrics` has all of them."""

from __future__ import annotations

from typing import Final

from pdns.telemetry.family import Family

FEED_FAMILIES: Final = (
    # Feeds.
    Family("blockset_build_seconds", "gauge", "feeds", (), "Duration of the last compile."),
    Family("blockset_compiled_generation", "gauge", "feeds", (), "Generation of the newest blockset; workers use it soon after."),
    Family("feed_loaded", "gauge", "feeds", ("feed",), "1 when the names of a feed are in the blockset, else 0."),
    Family("feed_entries", "gauge", "feeds", ("feed",), "Names that a feed lists."),
    Family("feed_unique_entries", "gauge", "feeds", ("feed",), "Names that no other feed lists."),
    Family("feed_addresses", "gauge", "feeds", ("feed",), "Addresses and networks that a feed lists."),
    Family("feed_odd_lines", "gauge", "feeds", ("feed", "reason"), "Skipped lines of a feed, by reason."),
    Family(
        "feed_last_success_timestamp_seconds",
        "gauge",
        "feeds",
        ("feed",),
        "Time of the last usable answer from the source; 0: never.",
    ),
    Family("feed_last_change_timestamp_seconds", "gauge", "feeds", ("feed",), "Time when the content last changed; 0: never."),
    Family(
        "feed_refresh_total",
        "counter",
        "feeds",
        ("feed", "result"),
        "Refresh attempts, by result: updated, unchanged, held, signature, outdated, error.",
    ),
    Family(
        "feed_update_held_seconds",
        "gauge",
        "feeds",
        ("feed",),
        "How long an update has been held as a whole; 0: no update is held.",
    ),
    Family(
        "indicator_to_block_seconds",
        "histogram",
        "supervisor",
        ("feed",),
        "Time from when the fetcher first saw new names or networks of a feed until every worker uses them.",
    ),
    Family("feed_held", "gauge", "feeds", ("feed",), "Held names and addresses, plus 1 while an update is held as a whole."),
    Family("feed_refused_names", "gauge", "feeds", ("feed",), "Listed names that are not blocked because they are too popular."),
    Family("feed_disabled", "gauge", "feeds", ("feed",), "1 while a feed is switched off by an administrator, else 0."),
    Family(
        "feed_expired",
        "gauge",
        "feeds",
        ("feed",),
        "1 while a feed's names are not blocked because its source has failed for too long, else 0.",
    ),
    Family(
        "feed_lost",
        "gauge",
        "feeds",
        ("feed",),
        "1 while a feed's files are lost and its names come from the blockset alone, else 0.",
    ),
    Family(
        "notify_refused_total",
        "counter",
        "feeds",
        ("reason",),
        "NOTIFY messages refused, by reason: stranger, zone, unsigned, signature, malformed.",
    ),
    # Published zones.
    Family("publish_serial", "gauge", "feeds", ("zone",), "Serial of a published zone; 0: there is no version yet."),
    Family("publish_names", "gauge", "feeds", ("zone",), "Entries for names in a published zone."),
    Family("publish_addresses", "gauge", "feeds", ("zone",), "Entries for addresses and networks in a published zone."),
    Family(
        "publish_names_left_out",
        "gauge",
        "feeds",
        ("zone",),
        "Names that are blocked here and that a policy zone cannot hold, because they would be too long or mean something else.",
    ),
    Family(
        "publish_failing",
        "gauge",
        "feeds",
        ("zone",),
        "1 while an error prevents new versions or transfers of a published zone.",
    ),
    Family(
        "publish_transfers_total",
        "counter",
        "feeds",
        ("zone", "kind", "result"),
        "Answers to AXFR and IXFR (`kind`), by result: whole, steps (only the changes), current (nothing new), refused, failed.",
    ),
    Family(
        "publish_notify_total",
        "counter",
        "feeds",
        ("zone", "result"),
        "Secondaries notified of a version, by result: answered, unanswered.",
    ),
    Family(
        "publish_refused_total",
        "counter",
        "feeds",
        ("reason",),
        "Requests and connections refused at feeds.publish_listen, by reason:"
        " stranger, zone, type, signature, malformed, connections.",
    ),
    Family("local_indicators", "gauge", "feeds", ("action",), "Names blocked or allowed by administrators, whatever feeds list."),
    # The fleet.
    Family(
        "blockset_info",
        "info",
        "feeds",
        ("ring", "release", "hash"),
        "Release of the fleet in force, and the first 12 hex digits of the hash of its compiled files; always 1.",
    ),
    Family("fleet_sequence", "gauge", "feeds", (), "Sequence of the newest pointer; 0: none yet."),
    Family("fleet_release", "gauge", "feeds", (), "Release in force here; on a publisher: the newest one."),
    Family("fleet_release_lag", "gauge", "feeds", (), "Releases from the one in force here to the newest one for its ring."),
    Family("fleet_pointer_age_seconds", "gauge", "feeds", (), "Age of the newest pointer."),
    Family("fleet_pointer_expires_seconds", "gauge", "feeds", (), "Time until the newest pointer expires; negative: it has."),
    Family(
        "fleet_polls_total",
        "counter",
        "feeds",
        ("result",),
        "Polls of the store, by result: changed, unchanged, unreachable, refused, expired.",
    ),
    Family("fleet_bytes_total", "counter", "feeds", (), "Bytes received from the store."),
    Family("fleet_releases_total", "counter", "feeds", ("result",), "Releases tried, by result: applied, refused, failed."),
    Family("fleet_store_up", "gauge", "feeds", (), "1 while the last poll or publication succeeded, else 0."),
    Family("fleet_pinned", "gauge", "feeds", (), "1 while an administrator keeps this server at its release, else 0."),
    Family(
        "fleet_compiled_differs",
        "gauge",
        "feeds",
        (),
        "1 while the compiled files differ from those of the publisher, else 0.",
    ),
    Family("fleet_policy_refused", "gauge", "feeds", (), "1 while the policy of the release is not in force here, else 0."),
    Family("fleet_nodes", "gauge", "feeds", ("ring", "state"), "Nodes, by state: current, behind, refused, pinned, missing."),
    Family("fleet_ring_release", "gauge", "feeds", ("ring",), "Release that a ring gets."),
    Family(
        "fleet_publish_total",
        "counter",
        "feeds",
        ("result",),
        "Publications, by result: published, signed (nothing was new), failed, fenced (another publisher was first).",
    ),
    Family("fleet_fenced", "gauge", "feeds", (), "1 while this publisher has stopped because another one writes, else 0."),
)
