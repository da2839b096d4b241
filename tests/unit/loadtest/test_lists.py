"""The two lists of a soak."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest

from loadtest import lists as listsmod
from loadtest import population
from loadtest.lists import Lists, Manner
from pdns.wire import names


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> population.Population:
    return population.generated(tmp_path_factory.mktemp("lists"), listed=8_000, benign=100, sample=8_000)


@pytest.fixture
def lists(people: population.Population, tmp_path: Path) -> Lists:
    return Lists(people, tmp_path / "listed.txt")


def in_file(tmp_path: Path) -> set[str]:
    return set((tmp_path / "listed.txt").read_text().split())


def texts(wire: list[bytes]) -> set[str]:
    return {names.to_text(name) for name in wire}


async def fetched(lists: Lists) -> tuple[int, bytes]:
    timeout = aiohttp.ClientTimeout(total=0.5)
    async with (
        lists.served() as at,
        aiohttp.ClientSession() as session,
        session.get(f"http://{at}/list.txt", timeout=timeout) as got,
    ):
        return got.status, await got.read()


def test_what_is_always_listed_is_in_one_of_the_two(lists: Lists, tmp_path: Path) -> None:
    """Before and after a change every such name is in the file or served over HTTP, and no changing one is served."""
    for _ in range(2):
        _, body = asyncio.run(fetched(lists))
        served = set(body.decode().split())
        assert texts(lists.always) <= in_file(tmp_path) | served
        assert texts(lists.always[: listsmod.ALWAYS]) <= in_file(tmp_path)
        assert not served & texts(lists.changing)
        lists.change()
        lists.lengthen()


def test_names_come_and_go(lists: Lists, tmp_path: Path) -> None:
    """A change puts in the file what was not there, and takes out what was; the rest stays."""
    before, came, went = in_file(tmp_path), texts(lists.going), texts(lists.coming)
    lists.change()
    assert in_file(tmp_path) - before == came == texts(lists.coming)
    assert before - in_file(tmp_path) == went == texts(lists.going)


@pytest.mark.parametrize(
    ("manner", "status", "body"), [("404", 404, b"not here"), ("page", 200, b"<!DOCTYPE"), ("empty", 200, b"")]
)
def test_the_server_fails_as_told(lists: Lists, manner: Manner, status: int, body: bytes) -> None:
    """A missing list, a page in its place, nothing at all; and well again afterwards."""
    lists.manner = manner
    got_status, got = asyncio.run(fetched(lists))
    assert (got_status, got[: len(body)], bool(got)) == (status, body, bool(body))
    lists.manner = "well"
    assert asyncio.run(fetched(lists))[0] == 200


def test_the_server_cuts_short_and_hangs(lists: Lists) -> None:
    """The body ends before its length, or nothing comes in time."""
    lists.manner = "cut"
    with pytest.raises(aiohttp.ClientPayloadError):
        asyncio.run(fetched(lists))
    lists.manner = "hangs"
    with pytest.raises(TimeoutError):
        asyncio.run(fetched(lists))
