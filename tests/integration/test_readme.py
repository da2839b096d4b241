"""What the README shows is what the program does."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pdns.config.load import EXAMPLE, load
from tests.integration import picture
from tests.integration.running_pdns import ROOT, RunningPdns

README = (ROOT / "README.md").read_text()
_BLOCKS = re.findall(r"^```console\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def _shown() -> Iterator[tuple[str, list[str]]]:
    """Each command of the README that asks a running resolver, and the lines that it is said to print."""
    for block in _BLOCKS:
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *lines = part.splitlines()
            if command.startswith(("dig ", "curl ", ".venv/bin/pdns explain")):
                yield command, lines


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPdns]:
    """The shipped example, on ports of the kernel's choice."""
    feed = load(EXAMPLE).feed[0]
    table = {"name": feed.name, "url": feed.url, "category": feed.category, "required": feed.required}
    with RunningPdns(tmp_path_factory.mktemp("example"), {"feed": [table]}) as running:
        yield running


def test_the_commands_print_what_is_shown(example: RunningPdns) -> None:
    """Every line that the README shows under a command is printed by it. They run in its order: one counts what another asks."""
    pdns = f"{shlex.quote(sys.executable)} -m pdns"
    for command, lines in _shown():
        if shutil.which(command.split(maxsplit=1)[0]) is None and "pdns" not in command:
            pytest.skip(f"no {command.split(maxsplit=1)[0]} here")
        real = command.replace("-p 5300", f"-p {example.dns_port}").replace(":9153", f":{example.metrics_port}")
        real = re.sub(r"^\.venv/bin/pdns (\S+)", rf"{pdns} \1 -c {shlex.quote(str(example.config_path))}", real)
        result = subprocess.run(["sh", "-c", real], capture_output=True, text=True, timeout=30, check=True, cwd=ROOT)
        printed = " ".join(result.stdout.split())
        for line in filter(None, lines):
            assert " ".join(line.split()) in printed, f"{command}: {line!r} is not in:\n{result.stdout}"


def test_something_is_shown() -> None:
    """The README has such commands: an empty list of them would prove nothing."""
    assert {command.split()[0] for command, _ in _shown()} == {"dig", "curl", ".venv/bin/pdns"}


def test_the_configuration_shown_replaces_the_example(tmp_path: Path) -> None:
    """The file that the README shows is a whole configuration; put where it says, it is found instead of the example."""
    (shown,) = re.findall(r"^```toml\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    (tmp_path / "pdns.toml").write_text(shown)
    (tmp_path / "block.txt").write_text("bad.example\n")
    (tmp_path / "resolv.conf").write_text("nameserver 192.0.2.53\n")
    config = load(tmp_path / "pdns.toml", resolv_conf=tmp_path / "resolv.conf")
    assert [feed.name for feed in config.feed] == ["urlhaus-filter", "our-own"]
    assert config.feed[1].url == (tmp_path / "block.txt").as_uri()
    code = "from pdns.config.load import default_config_path; print(default_config_path().resolve())"
    where = [sys.executable, "-c", code]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    found = subprocess.run(where, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout.strip()
    assert Path(found) == tmp_path / "pdns.toml"


def test_the_banner_has_what_is_shown(example: RunningPdns) -> None:
    """Every row of the banner in the README is one that the program prints."""
    (shown,) = re.findall(r"^pdns [\d.]+ \(commit [0-9a-f]{12}\)\n\n((?:  \S.*\n)+)", README, re.MULTILINE)
    titles = [re.split(r" {2,}", line.strip())[0] for line in shown.splitlines()]
    assert len(titles) >= 8
    assert [title for title in titles if not re.search(rf"^  {title} ", example.output, re.MULTILINE)] == []


@pytest.mark.parametrize(("page", "command"), [("feeds.md", "feeds status"), ("feed-quality.md", "feeds quality")])
def test_tables_of_other_pages_have_the_titles_of_the_program(example: RunningPdns, page: str, command: str) -> None:
    """Above the sample of a table on a page stand the titles that the command prints."""
    (shown,) = re.findall(rf"^\$ pdns {command}\n(.+)$", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.MULTILINE)
    real = [sys.executable, "-m", "pdns", *command.split(), "-c", str(example.config_path)]
    printed = subprocess.run(real, capture_output=True, text=True, timeout=60, check=True, cwd=ROOT).stdout.splitlines()
    assert re.split(r" {2,}", printed[0].strip()) == re.split(r" {2,}", shown.strip())


def test_the_picture_is_what_the_program_prints(tmp_path: Path) -> None:
    """Every line of the picture is printed by the command above it, but for times, ids and ports."""

    def steady(line: str) -> str:
        return re.sub(r"\d+", "0", " ".join(line.split()))

    if shutil.which("dig") is None or shutil.which("curl") is None:
        pytest.skip("no dig or curl here")
    drawn = [steady(line) for line in picture.texts(picture.PICTURE.read_text(encoding="utf-8"))]
    with RunningPdns(tmp_path, picture.configuration(tmp_path)) as pdns:
        printed = picture.svg([(shown, picture.output(pdns, shown)) for shown in picture.SHOWN])
    assert drawn == [steady(line) for line in picture.texts(printed)]
    assert len(drawn) > 20


def test_the_configuration_error_is_the_real_one(tmp_path: Path) -> None:
    """The mistake that the README shows is reported in those very words, with exit code 2."""
    (tmp_path / "pdns.toml").write_text(
        '[upstream]\nservers = ["udp://127.0.0.1:53"]\n[[feed]]\nname = "a"\nurl = "file:a"\n'
        '[[feed]]\nname = "b"\nurl = "file:b"\nrefresh_s = "soon"\n'
    )
    command = [sys.executable, "-m", "pdns", "check", "-c", "pdns.toml"]
    result = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.strip() in README
