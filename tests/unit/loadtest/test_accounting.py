"""The accounting of a soak: it balances, it names what is lost, and it notices what nothing explains."""

from __future__ import annotations

from loadtest.accounting import Counted, Death, Samples, Sent, Window, account, counted, unexplained

DEATH = Death(at_s=10, in_hand=20)
ALLOWED = {"arrived, never counted": 64, "counted, never answered": 84, "answered, never received": 64}


def lost_on_the_way(sent: int, queries: int, responses: int, received: int, *, killed: bool = False) -> dict[str, int]:
    """What is unaccounted for."""
    server = Counted(queries=queries, responses=responses)
    return account(Sent(sent=sent, received=received), server, [DEATH] if killed else []).unaccounted


def test_what_balances_is_accounted_for() -> None:
    """Nothing lost, nothing unaccounted for; drops that the resolver counts explain what is missing, by their reason."""
    assert lost_on_the_way(1000, 1000, 1000, 1000) == {}
    server = Counted(queries=900, responses=893, dropped={"udp_receive_buffer_full": 100, "rate_limit": 7, "udp_send_error": 3})
    explained = account(Sent(sent=1000, received=890), server, [])
    assert explained.unaccounted == {}
    assert explained.lost == {"udp_receive_buffer_full": 100, "rate_limit": 7, "udp_send_error": 3}


def test_a_sender_whose_queries_vanish_is_noticed() -> None:
    """A hundred queries that neither arrived nor were dropped are unaccounted for, exactly."""
    assert lost_on_the_way(1100, 1000, 1000, 1000) == {"arrived, never counted": 100}
    assert lost_on_the_way(1001, 1000, 1000, 1000) == {"arrived, never counted": 1}


def test_a_query_that_is_never_answered_is_noticed() -> None:
    """Without a killed worker, one query taken and forgotten is unaccounted for; so is one answer that went nowhere."""
    assert lost_on_the_way(1000, 1000, 999, 999) == {"counted, never answered": 1}
    assert lost_on_the_way(1000, 1000, 1000, 999) == {"answered, never received": 1}


def test_more_than_was_sent_is_noticed() -> None:
    """Queries counted twice, and answers given twice, are wrong as well: two errors must not cancel out."""
    assert lost_on_the_way(1000, 1001, 1000, 1000)["arrived, never counted"] == 1
    assert lost_on_the_way(1000, 1000, 1001, 1000)["counted, never answered"] == 1
    assert lost_on_the_way(1000, 1000, 1000, 1001)["answered, never received"] == 1


def test_drops_of_another_step_do_not_explain_a_loss() -> None:
    """A query lost after it was counted is not explained by one that the kernel dropped before."""
    server = Counted(queries=999, responses=989, dropped={"udp_receive_buffer_full": 1})
    assert account(Sent(sent=1000, received=989), server, []).unaccounted == {"counted, never answered": 10}


def test_a_killed_worker_explains_what_it_held_and_no_more() -> None:
    """A batch read, a batch answered, what waited and a batch: the next query is unaccounted for, and without a death all are."""
    for at, (step, allowed) in enumerate(ALLOWED.items()):
        held = [1000 - (allowed if at < later else 0) for later in range(4)]
        one_more = [1000 - (allowed + 1 if at < later else 0) for later in range(4)]
        assert lost_on_the_way(*held, killed=True) == {}
        assert lost_on_the_way(*one_more, killed=True) == {step: 1}
        assert lost_on_the_way(*held) == {step: allowed}


def test_late_answers_are_losses_with_a_name() -> None:
    """An answer after its query was given up did not vanish, but is no answer either."""
    explained = account(Sent(sent=10, received=8, late=2), Counted(queries=10, responses=10), [])
    assert (explained.lost, explained.unaccounted) == ({"answered too late": 2}, {})


def test_a_page_of_metrics_is_summed_over_workers_and_tenants() -> None:
    """Every series of a family counts, and drops are kept by reason."""
    page: Samples = {
        "pdns_queries_total": {
            (("qtype", "A"), ("tenant", "x"), ("transport", "udp")): 5.0,
            (("qtype", "A"), ("tenant", "y")): 2.0,
        },
        "pdns_responses_total": {(("source", "cache"),): 4.0},
        "pdns_dropped_total": {(("reason", "rate_limit"),): 1.0},
        "pdns_worker_restarts_total": {(("worker", "0"),): 1.0, (("worker", "1"),): 2.0},
    }
    found = counted(page)
    assert (found.queries, found.responses, found.dropped, found.worker_restarts) == (7, 4, {"rate_limit": 1}, 3)
    assert found.in_hand == 2


def test_a_loss_needs_a_fault_that_may_lose() -> None:
    """A kill explains losses from the patience of a query before it to its end; an upstream fault explains none."""
    kill = Window(kind="kill worker", series="processes", start_s=50, end_s=52, may_lose=True)
    silent = Window(kind="all silent", series="upstream", start_s=0, end_s=100, may_lose=False)
    assert not unexplained(40, 41, [kill, silent], patience_s=12)
    assert not unexplained(51, 53, [kill, silent], patience_s=12)
    assert unexplained(30, 37, [kill, silent], patience_s=12)
    assert unexplained(53, 54, [kill, silent], patience_s=12)
