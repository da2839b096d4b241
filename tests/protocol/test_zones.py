"""Zones: which upstream is asked, and what of its answer is believed; with compiled kernels and with their reference."""

from __future__ import annotations

from pdns.wire import protocol as p
from pdns.wire.names import from_text
from tests.blocksets import make_blockset
from tests.fakes import upstream as fake
from tests.fakes.udp_edge import FEEDS, FORGED, SINKHOLE, TRUE
from tests.fakes.zone_data import Told, change, data, knows, servers, zone
from tests.protocol.conftest import Open, Run
from tests.wire import answers, ede, read

INSIDE, FURTHER = "10.1.1.80", "10.2.2.80"


def test_the_most_specific_zone_decides(run: Run, edge: Open) -> None:
    """Names at and below a zone go to its servers, but for more specific zones and exceptions; others to the default."""

    async def body() -> None:
        async with servers(fake.answer(INSIDE), fake.answer(FURTHER)) as (inside, further):
            zones = [
                zone("corp.example 10.in-addr.arpa lan", inside),
                zone("branch.corp.example", further),
                zone("www.corp.example"),
            ]
            async with edge(fake.answer(TRUE), zone=zones) as (e, upstream):
                for _ in range(2):  # from the upstreams, then from the cache
                    for name, address in (
                        ("corp.example", INSIDE),
                        ("a.b.CORP.example", INSIDE),
                        ("1.0.10.in-addr.arpa", INSIDE),
                        ("printer.lan", INSIDE),
                        ("lan", INSIDE),
                        ("branch.corp.example", FURTHER),
                        ("x.branch.corp.example", FURTHER),
                        ("www.corp.example", TRUE),
                        ("a.www.corp.example", TRUE),
                        ("example", TRUE),
                        ("notcorp.example", TRUE),
                        ("corp.example.net", TRUE),
                    ):
                        assert answers(await e.ask(name)) == [address], name
                assert len(upstream.names()) == 5
                assert set(further.names()) == {"branch.corp.example", "x.branch.corp.example"}
                assert len(inside.names()) == 5

    run(body())


def test_ds_at_an_apex_belongs_to_the_zone_above(run: Run, edge: Open) -> None:
    """RFC 4035, 3.1.4.1: what a validator asks to find out whether the zone is signed is for the parent to say."""

    async def body() -> None:
        async with (
            servers(fake.answer(INSIDE)) as (inside,),
            edge(fake.answer(TRUE), zone=[zone("corp.example", inside)]) as (e, upstream),
        ):
            await e.ask("corp.example", "DS")
            await e.ask("a.corp.example", "DS")
            assert (upstream.names(), inside.names()) == (["corp.example"], ["a.corp.example"])

    run(body())


ATTACK = {
    "answer": f"www.a.example 300 IN CNAME www.b.example\nwww.b.example 300 IN A {FORGED}",
    "authority": "b.example 300 IN NS ns.a.example\nexample 300 IN NS ns.a.example\n. 300 IN NS ns.a.example",
    "additional": f"ns.a.example 300 IN A {FORGED}\nwww.b.example 300 IN A {FORGED}\nb.example 300 IN A {FORGED}",
}


def test_a_zone_server_is_not_believed_about_other_names(run: Run, edge: Open) -> None:
    """What it says of another zone, or of all the world, is asked where it belongs: in this answer and in every later one."""

    async def body() -> None:
        for b_is_a_zone in (True, False):
            told = {"www.b.example": f"www.b.example 300 IN A {TRUE}", "b.example": f"b.example 300 IN A {TRUE}"}
            async with servers(knows({"www.a.example": ATTACK}), knows(told)) as (a, b):
                zones = [zone("a.example", a), *([zone("b.example", b)] if b_is_a_zone else [])]
                async with edge(knows(told), zone=zones) as (e, upstream):
                    wire = await e.ask("www.a.example")
                    assert data(wire) == ["www.a.example. www.b.example.", f"www.b.example. {TRUE}"]
                    assert FORGED not in str(read(wire))
                    for name in ("www.b.example", "b.example", "www.a.example"):
                        assert answers(await e.ask(name))[-1] == TRUE
                    assert FORGED not in str(read(await e.ask("ns.a.example")))
                    asked = b if b_is_a_zone else upstream
                    assert asked.names() == ["www.b.example", "www.b.example", "b.example"]
                    assert a.names() == ["www.a.example", "ns.a.example"]

    run(body())


def test_the_default_is_not_believed_about_a_zone(run: Run, edge: Open) -> None:
    """A public name that leads into a zone gets the zone's own answer, whatever the public answer said of it."""

    async def body() -> None:
        public = {"www.public.example": f"www.public.example 300 IN CNAME app.corp.example\napp.corp.example 300 IN A {FORGED}"}
        inside = {"app.corp.example": f"app.corp.example 60 IN A {INSIDE}"}
        async with (
            servers(knows(inside)) as (corp,),
            edge(knows(public), zone=[zone("corp.example", corp)]) as (e, upstream),
        ):
            for _ in range(2):
                wire = await e.ask("www.public.example")
                assert data(wire) == ["www.public.example. app.corp.example.", f"app.corp.example. {INSIDE}"]
                assert [record.ttl for record in read(wire).rr] == [300, 60]
            assert answers(await e.ask("app.corp.example")) == [INSIDE]
            assert (upstream.names(), corp.names()) == (["www.public.example"], ["app.corp.example"] * 2)

    run(body())


def test_a_dname_above_a_zone_is_not_believed(run: Run, edge: Open) -> None:
    """A server of `corp.example` that redirects all of `example` changes nothing for others, and its DNAME is not passed on."""

    async def body() -> None:
        forged = (
            "example 300 IN DNAME evil.test\nx.corp.example 300 IN CNAME x.corp.evil.test\n"
            f"x.corp.evil.test 300 IN A {FORGED}"
        )  # fmt: skip
        async with (
            servers(knows({"x.corp.example": forged})) as (corp,),
            edge(fake.answer(TRUE), zone=[zone("corp.example", corp), zone("evil.test")]) as (e, _upstream),
        ):
            assert data(await e.ask("x.corp.example")) == ["x.corp.example. x.corp.evil.test.", f"x.corp.evil.test. {TRUE}"]
            assert answers(await e.ask("www.example")) == [TRUE]

    run(body())


def test_there_and_back(run: Run, edge: Open) -> None:
    """A chain from inside to outside and back is one answer, each part told by its own servers; NODATA keeps its SOA."""

    async def body() -> None:
        inside: dict[str, Told] = {
            "a.corp.example": "a.corp.example 300 IN CNAME b.corp.example\nb.corp.example 300 IN CNAME c.public.example",
            "d.corp.example A": f"d.corp.example 30 IN A {INSIDE}",
            "d.corp.example AAAA": {"authority": "corp.example 90 IN SOA ns.corp.example. host.corp.example. 1 2 3 4 90"},
        }
        public = {"c.public.example": "c.public.example 200 IN CNAME d.corp.example"}
        async with (
            servers(knows(inside)) as (corp,),
            edge(knows(public), zone=[zone("corp.example", corp)]) as (e, upstream),
        ):
            chain = [
                "a.corp.example. b.corp.example.",
                "b.corp.example. c.public.example.",
                "c.public.example. d.corp.example.",
            ]
            assert data(await e.ask("a.corp.example")) == [*chain, f"d.corp.example. {INSIDE}"]
            wire = await e.ask("a.corp.example", "AAAA")
            assert data(wire) == chain
            assert [(str(soa.rname), soa.ttl) for soa in read(wire).auth] == [("corp.example.", 90)]
            assert upstream.names() == ["c.public.example"] * 2
            assert data(await e.ask("a.corp.example")) == [*chain, f"d.corp.example. {INSIDE}"]
            assert len(upstream.names()) == 2

    run(body())


def test_a_chain_that_never_ends(run: Run, edge: Open) -> None:
    """Servers that lead from one to the other and on are asked a bounded number of questions; the client gets SERVFAIL."""

    async def body() -> None:
        def on(query: fake.SeenQuery) -> list[fake.Action]:
            label, side = query.name.split(".")[:2]
            other = {"a": "b", "b": "a"}[side]
            target = from_text(f"n{int(label[1:]) + 1}.{other}.example")
            return [fake.Send(fake.reply(query, [fake.rr(fake.CNAME, target)]))]

        async with servers(on, on) as (a, b), edge(fake.drop, zone=[zone("a.example", a), zone("b.example", b)]) as (e, _):
            wire = await e.ask("n1.a.example")
            assert (read(wire).header.rcode, ede(wire)) == (p.SERVFAIL, (0, "the answer leads from zone to zone too often"))
            assert len(a.names()) + len(b.names()) == 9

    run(body())


def test_a_zone_without_an_answer_is_not_asked_elsewhere(run: Run, edge: Open) -> None:
    """When a zone's servers fail, no name of it goes to the default; the reason is told."""

    async def body() -> None:
        async with (
            servers(fake.rcode(fake.SERVFAIL)) as (corp,),
            edge(fake.answer(TRUE), zone=[zone("corp.example", corp)]) as (e, upstream),
        ):
            wire = await e.ask("www.corp.example")
            assert (read(wire).header.rcode, ede(wire)) == (
                p.SERVFAIL,
                (22, f"udp://127.0.0.1:{corp.port} answered SERVFAIL"),
            )
            assert upstream.names() == []

    run(body())


def test_feeds_have_a_say_in_zones_unless_told_otherwise(run: Run, edge: Open) -> None:
    """Listed names are blocked in a zone as well, unless it says `block = false`; what leads out of such a zone is checked."""

    async def body() -> None:
        listed = make_blockset({"alpha": "bad.corp.example bad.free.example bad.public.example"})
        free = {
            "bad.free.example": f"bad.free.example 300 IN A {INSIDE}",
            "out.free.example": "out.free.example 300 IN CNAME bad.public.example",
        }
        async with servers(fake.answer(INSIDE), knows(free)) as (corp, open_zone):
            zones = [zone("corp.example", corp), zone("free.example", open_zone, block=False)]
            async with edge(fake.answer(TRUE), zone=zones, blockset=listed, **FEEDS) as (e, upstream):
                for _ in range(2):
                    assert answers(await e.ask("bad.corp.example")) == [SINKHOLE]
                    assert answers(await e.ask("bad.free.example")) == [INSIDE]
                    assert answers(await e.ask("out.free.example")) == [SINKHOLE]
                    assert answers(await e.ask("bad.public.example")) == [SINKHOLE]
                assert read(await e.ask("bad.free.example", "ANY")).rr[0].rdata.__class__.__name__ == "RD"
                assert read(await e.ask("x.free.example", rd=0)).header.rcode == p.REFUSED
                assert "bad.corp.example" not in corp.names()
                assert upstream.names() == ["bad.public.example"]  # only where an answer led there

    run(body())


def test_a_zone_can_be_asked_without_do(run: Run, edge: Open) -> None:
    """`dnssec = false`: its servers see no DO bit, other zones' do."""

    async def body() -> None:
        async with (
            servers(fake.answer(INSIDE), fake.answer(FURTHER)) as (old, new),
            edge(fake.drop, zone=[zone("old.example", old, dnssec=False), zone("new.example", new)]) as (e, _),
        ):
            for name, address in (("a.old.example", INSIDE), ("a.new.example", FURTHER)):
                assert answers(await e.ask(name, do=True)) == [address]
            assert [query.do for query in (*old.asked(), *new.asked())] == [False, True]

    run(body())


def test_a_dname_of_the_zone_is_passed_on(run: Run, edge: Open) -> None:
    """A redirection within what a server is asked about stays in the answer, on the way into another zone as well."""

    async def body() -> None:
        inside = {
            "x.old.corp.example": (
                "old.corp.example 300 IN DNAME new.example\nx.old.corp.example 300 IN CNAME x.new.example\n"
                f"x.new.example 300 IN A {FORGED}"
            )
        }
        async with (
            servers(knows(inside)) as (corp,),
            edge(fake.answer(TRUE), zone=[zone("corp.example", corp)]) as (e, _upstream),
        ):
            wire = await e.ask("x.old.corp.example")
            assert [record.rtype for record in read(wire).rr] == [39, 5, 1]
            assert data(wire)[1:] == ["x.old.corp.example. x.new.example.", f"x.new.example. {TRUE}"]

    run(body())


def test_a_chain_that_servers_do_not_follow(run: Run, edge: Open) -> None:
    """Servers that only know their zones end with a CNAME: its target is asked, of the same servers or of others."""

    async def body() -> None:
        inside: dict[str, Told] = {
            "up.corp": "up.corp 300 IN CNAME intranet.corp.example",
            "intranet.corp.example A": f"intranet.corp.example 300 IN A {INSIDE}",
            "intranet.corp.example AAAA": {"authority": "corp.example 90 IN SOA ns.corp.example. host.corp.example. 1 2 3 4 90"},
            "to.corp": "to.corp 300 IN CNAME gone.corp.example",
            "on.corp": "on.corp 300 IN CNAME on.corp.example",
            "on.corp.example": {"answer": ""},
        }
        async with (
            servers(knows(inside)) as (corp,),
            edge(fake.answer(TRUE), zone=[zone("corp.example corp", corp)]) as (e, upstream),
        ):
            for _ in range(2):
                assert data(await e.ask("up.corp")) == ["up.corp. intranet.corp.example.", f"intranet.corp.example. {INSIDE}"]
                assert data(await e.ask("up.corp", "AAAA")) == ["up.corp. intranet.corp.example."]
                gone = await e.ask("to.corp")
                assert (data(gone), read(gone).header.rcode) == (["to.corp. gone.corp.example."], p.NXDOMAIN)
                assert data(await e.ask("on.corp")) == ["on.corp. on.corp.example."]
            assert upstream.names() == []
            assert corp.names()[:6] == ["up.corp", "intranet.corp.example"] * 2 + ["to.corp", "gone.corp.example"]

    run(body())


def test_names_above_and_at_a_zone_exist(run: Run, edge: Open) -> None:
    """NXDOMAIN of the default for a name above a zone, or for DS at the zone itself, is NODATA without proofs (RFC 8020)."""

    async def body() -> None:
        soa = "example 90 IN SOA ns.example. host.example. 1 2 3 4 90"
        signed = f"{soa}\nexample 90 IN NSEC zzz.example. NS SOA\n"
        public: dict[str, Told] = {
            "corp.example": {"rcode": "3", "authority": signed},
            "ad.corp.example DS": {"rcode": "3", "authority": signed},
        }
        async with (
            servers(fake.answer(INSIDE)) as (corp,),
            edge(knows(public), zone=[zone("ad.corp.example", corp)]) as (e, _upstream),
        ):
            for name, qtype in (("corp.example", "A"), ("ad.corp.example", "DS")):
                for _ in range(2):
                    wire = await e.ask(name, qtype, do=True)
                    assert read(wire).header.rcode == p.NOERROR
                    assert [record.rtype for record in read(wire).auth] == [6]
            assert read(await e.ask("other.example")).header.rcode == p.NXDOMAIN
            change(e, zone=[]).close()
            assert read(await e.ask("corp.example", do=True)).header.rcode == p.NXDOMAIN

    run(body())
