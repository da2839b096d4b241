"""Files beside the configuration: what is added, what may not be set twice, which file an error names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pdns.config.conf_d import MOST_FILES, api_file, read_parts
from pdns.config.load import load
from pdns.config.watch import PartsWatch, load_version
from pdns.errors import ConfigErrors

UPSTREAM = '[upstream]\nservers = ["192.0.2.53"]\n'
TENANT = '[[tenant]]\nname = "{}"\nnetworks = ["10.{}.0.0/16"]\n'


@pytest.fixture
def main(tmp_path: Path) -> Path:
    """A configuration whose state is beside it."""
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "state/conf.d").mkdir(parents=True)
    path = tmp_path / "pdns.toml"
    path.write_text(UPSTREAM + '[state]\ndir = "state"\n')
    return path


def beside(main: Path, name: str, text: str) -> Path:
    path = main.parent / "conf.d" / name
    path.write_text(text)
    return path


def of_api(main: Path, text: str) -> Path:
    path = main.parent / "state/conf.d/50-api.toml"
    path.write_text(text)
    return path


def errors(main: Path) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        load(main)
    return [str(error) for error in caught.value.errors]


def test_arrays_are_appended_in_the_order_of_the_names(main: Path) -> None:
    """The main file, then conf.d by name, then the file of the API. Hidden files and other endings are left out."""
    main.write_text(main.read_text() + TENANT.format("first", 1))
    beside(main, "20-b.toml", TENANT.format("third", 3))
    beside(main, "10-a.toml", TENANT.format("second", 2) + '[block]\naction = "nodata"\n')
    of_api(main, TENANT.format("fourth", 4))
    for name in (".hidden.toml", "30-c.toml~", "40-d.txt"):
        beside(main, name, "not toml")
    config = load(main)
    assert [tenant.name for tenant in config.tenant] == ["first", "second", "third", "fourth"]
    assert config.block.action == "nodata"


def test_an_error_names_its_file(main: Path) -> None:
    """Keys are counted in their own file; a reason that names another file's key says which file that is."""
    main.write_text(main.read_text() + TENANT.format("one", 1))
    first = beside(main, "a.toml", TENANT.format("two", 2) + TENANT.format("one", 3))
    assert f'{first}: tenant[1].name: "one" is already tenant[0] of {main}' in errors(main)
    second = beside(main, "b.toml", '[tenantt]\n[[tenant]]\nname = "three"\nnetworks = ["10.2.0.0/16"]\nx = 1\n')
    found = errors(main)
    assert any(error.startswith(f"{second}: tenant[0].x: unknown key") for error in found)
    assert any(error.startswith(f"{second}: tenantt: unknown key") for error in found)
    beside(main, "b.toml", TENANT.format("three", 2))
    found = errors(main)
    assert f"{second}: tenant[0].networks[0]: 10.2.0.0/16 is already in tenant[0].networks of {first}" in found


def test_a_table_is_in_one_file(main: Path) -> None:
    """The error names both files, also when one has an array and the other a table."""
    one = beside(main, "a.toml", '[block]\naction = "nodata"\n')
    two = beside(main, "b.toml", '[block]\nttl_s = 5\n[upstream]\nservers = ["192.0.2.1"]\n')
    assert errors(main) == [f"{two}: block: is already set in {one}", f"{two}: upstream: is already set in {main}"]
    beside(main, "a.toml", TENANT.format("x", 1))
    beside(main, "b.toml", "[tenant]\n")
    assert errors(main) == [f"{two}: tenant: is already set in {one}"]


def test_the_file_of_the_api_holds_tenants_and_policies_alone(main: Path) -> None:
    """Whoever can write the state directory does not get to change anything else."""
    own = of_api(main, TENANT.format("x", 1) + '[upstream]\nservers = ["192.0.2.66"]\n[[policy]]\nname = "p"\n')
    assert errors(main) == [f"{own}: upstream: expected only policy and tenant in the file of the API"]


def test_every_file_that_is_not_toml_is_named(main: Path) -> None:
    """All of them at once, each with its line."""
    one, two = beside(main, "a.toml", "x = \n"), beside(main, "b.toml", "y = \n")
    assert [error.split(": line")[0] for error in errors(main)] == [str(one), str(two)]
    (main.parent / "conf.d/a.toml").write_bytes(b"\xff")
    (main.parent / "conf.d/b.toml").unlink()
    (main.parent / "conf.d/b.toml").mkdir()
    assert [error.split(": ")[0] for error in errors(main)] == [str(one), str(two)]
    two.rmdir()
    os.mkfifo(two)
    assert f"{two}: expected a file" in errors(main)


def test_too_many_files(main: Path) -> None:
    """Their number is bounded, and the error says so."""
    for number in range(MOST_FILES + 1):
        beside(main, f"{number}.toml", "")
    assert errors(main) == [f"{main.parent / 'conf.d'}: expected at most 1000 files, got 1001"]


def test_the_hash_is_of_all_files(main: Path) -> None:
    """With one file it is that of the file; another one changes it."""
    alone = load_version(main)
    assert list(alone.parts.files) == [str(main)]
    assert next(iter(alone.parts.files.values())).startswith(alone.sha256)
    beside(main, "a.toml", "")
    assert load_version(main).sha256 != alone.sha256


def test_changes_beside_the_file_are_noticed(main: Path) -> None:
    """A file that comes, changes or goes, and that of the API: once each, when it is at rest."""
    watch = PartsWatch(main, of_api(main, ""))
    assert not watch.changed()

    def noticed() -> list[bool]:
        return [watch.changed() for _ in range(3)]

    path = beside(main, "a.toml", "")
    assert noticed() == [False, True, False]
    path.write_text("# more\n")
    assert noticed() == [False, True, False]
    path.unlink()
    assert noticed() == [False, True, False]
    of_api(main, "# more\n")
    assert noticed() == [False, True, False]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")
def test_who_may_not_look_into_the_state_directory_sees_no_file_of_the_api(main: Path) -> None:
    """A command of such a user works as before; the server itself does not go on without the file."""
    of_api(main, TENANT.format("x", 1))
    (main.parent / "state").chmod(0)
    try:
        assert load(main).tenant == ()
        with pytest.raises(ConfigErrors):
            read_parts(main, strict=True)
    finally:
        (main.parent / "state").chmod(0o755)


def test_where_the_file_of_the_api_is(main: Path) -> None:
    """In the state directory of the main file, whatever is wrong with the rest of it."""
    assert api_file(main, {"state": {"dir": "state"}}) == main.parent / "state/conf.d/50-api.toml"
    for odd in ({}, {"state": 5}, {"state": {"dir": 5}}, {"state": {"dir": "\0"}}):
        assert api_file(main, odd).name == "50-api.toml"
