"""Building the C programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtest import build


def test_no_compiler_is_said_clearly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no compiler, the error says so and how to get one."""
    monkeypatch.setattr(build, "BUILD_DIR", tmp_path)
    monkeypatch.setenv("CC", str(tmp_path / "missing"))
    with pytest.raises(build.BuildError, match=r"no C compiler found.*apt install gcc"):
        build.program("echo")


@pytest.mark.usefixtures("compiled")
def test_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program is built when it is missing, also below a directory with a space in its name, and then left alone."""
    monkeypatch.setattr(build, "BUILD_DIR", tmp_path / "with space")
    first = build.program("echo")
    built = first.stat().st_mtime_ns
    assert build.program("echo") == first
    assert first.stat().st_mtime_ns == built
    assert [file.name for file in first.parent.iterdir()] == ["echo"]


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("name", [*build.PROGRAMS, *build.ENCRYPTED_PROGRAMS])
def test_compiles_without_a_warning(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every program compiles with the warnings of the build turned into errors."""
    monkeypatch.setattr(build, "BUILD_DIR", tmp_path)
    monkeypatch.setattr(build, "_FLAGS", (*build._FLAGS, "-Werror"))
    assert build.program(name).exists()
