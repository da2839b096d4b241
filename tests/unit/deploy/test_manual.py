"""The manual pages and the shell completion have every command and option, and the programs that read them accept them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.manual import document, make, roff
from deploy.manual.tree import Command, program

ROOT = Path(__file__).parents[3]
PROGRAM = program()
COMMANDS = list(PROGRAM.walk())
TEXTS = make.texts("2026-01-31")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files as they are installed, and a program `pdns` to complete."""
    made = tmp_path_factory.mktemp("manual")
    for name, text in TEXTS.items():
        (made / name).parent.mkdir(exist_ok=True)
        (made / name).write_text(text)
    (made / "files").mkdir()
    (made / "files/pdns-of-ours.toml").touch()
    return made


def read(page: Path) -> str:
    """A page as a reader sees it, on long lines."""
    done = subprocess.run(
        ["mandoc", "-T", "utf8", "-O", "width=400", str(page)], capture_output=True, text=True, check=True, timeout=60
    )
    return subprocess.run(["col", "-b"], input=done.stdout, capture_output=True, text=True, check=True, timeout=60).stdout


needs_mandoc = pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not installed")


@needs_mandoc
def test_the_pages_are_well_formed(directory: Path) -> None:
    """Mandoc has nothing to object to, and neither has groff, where it is installed."""
    pages = sorted(map(str, directory.glob("man?/*")))
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", *pages], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "")
    if shutil.which("groff"):
        for page in pages:
            done = subprocess.run(
                ["groff", "-man", "-Tutf8", "-ww", "-Z", page], capture_output=True, text=True, check=False, timeout=60
            )
            assert (done.returncode, done.stderr) == (0, ""), page


@needs_mandoc
def test_every_command_has_its_place(directory: Path) -> None:
    """Each command is on the page of its first word, with every option and argument, and pdns(1) names that page."""
    overview = read(directory / "man1/pdns.1")
    assert len(COMMANDS) > 50
    for command in COMMANDS[1:]:
        text = read(directory / f"man1/pdns-{command.path[0]}.1")
        assert f"pdns-{command.path[0]}(1)" in overview
        assert command.name in text
        for each in (*command.options, *command.arguments):
            assert ", ".join(each.names) in text, (command.name, each)
            assert each.value in text, (command.name, each)
            assert each.help[:40] in text, (command.name, each)


@needs_mandoc
def test_every_key_is_in_the_manual(directory: Path) -> None:
    """pdns.toml(5) has each section of docs/config.md, and each row of its tables with the type and the meaning."""
    text = read(directory / "man5/pdns.toml.5")
    rows = [line.split(" | ") for line in (ROOT / "docs/config.md").read_text().splitlines() if line.startswith("| `")]
    assert len(rows) > 150
    for key, *_ in rows:
        assert key.strip("| ").replace("`", "") in text, key
    assert "UDP and TCP. 0.0.0.0 and [::] mean all addresses of the machine" in text
    assert "\n[[tenant]]" in text


@pytest.mark.parametrize("line", [".so /etc/passwd", "'br", "\\fBx", 'a "b" -c', "…", "`x`"])
@needs_mandoc
def test_any_text_is_shown_as_it_is(tmp_path: Path, line: str) -> None:
    """Nothing in a text is taken for a request or an escape."""
    (tmp_path / "x.1").write_text(roff.page("x", 1, "1", "2026-01-31", [".SH A", roff.escaped(line), *roff.verbatim(line)]))
    assert read(tmp_path / "x.1").count(line) == 2


def test_a_document_that_cannot_be_shown_is_an_error() -> None:
    """A page of the manual leaves nothing out in silence."""
    with pytest.raises(ValueError, match="no manual page has html_block, as in line 3"):
        document.lines("# x\n\n<table>\n")
    with pytest.raises(ValueError, match="no manual page has html_inline: <b>"):
        document.lines("# x\n\na <b>x</b>\n")


def completed(shell: str, directory: Path, words: list[str]) -> list[str]:
    """What the shell offers for the last of `words`."""
    script = directory / "completion"
    environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "LC_ALL": "C.UTF-8"}
    if shell == "bash":
        text = f'. {script}/pdns; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _pdns 2>/dev/null; echo "${{COMPREPLY[*]}}"'
        command = ["bash", "--norc", "-c", text, "bash", *words]
    else:
        command = ["fish", "--no-config", "-c", f"source {script}/pdns.fish; complete -C '{' '.join(words)}' | cut -f1"]
    done = subprocess.run(
        command, cwd=directory / "files", env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_completion(directory: Path, shell: str) -> None:
    """The shell itself offers commands, options, and files where a value is one, and nothing for other values."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    assert set(completed(shell, directory, ["pdns", ""])) == {each.path[0] for each in PROGRAM.commands}
    (feeds,) = (each for each in PROGRAM.commands if each.path == ("feeds",))
    assert set(completed(shell, directory, ["pdns", "feeds", ""])) == {each.path[1] for each in feeds.commands}
    assert completed(shell, directory, ["pdns", "feeds", "qual"]) == ["quality"]
    (block,) = (each for each in PROGRAM.commands if each.path == ("block",))
    assert set(completed(shell, directory, ["pdns", "block", "--"])) == {
        name for each in block.options for name in each.names if name.startswith("--")
    }
    assert completed(shell, directory, ["pdns", "check", "-c", "pdns-of"]) == ["pdns-of-ours.toml"]
    assert completed(shell, directory, ["pdns", "feeds", "check", "--config", "pdns-of"]) == ["pdns-of-ours.toml"]
    assert completed(shell, directory, ["pdns", "block", "--reason", "pdns-of"]) == []
    assert completed(shell, directory, ["pdns", "block", "pdns-of"]) == []
    assert completed(shell, directory, ["pdns", "feeds", "trial", "pdns-of"]) == ["pdns-of-ours.toml"]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_completes(directory: Path) -> None:
    """Zsh loads the function, and offers commands, options and files in a terminal."""
    script = (
        "zmodload zsh/zpty; zpty z zsh -f -i; "
        f"zpty -w z 'PS1=; cd {directory}/files; fpath=({directory}/completion $fpath); autoload -Uz compinit; compinit -u -D; "
        'bindkey "^I" complete-word; zstyle ":completion:*" insert-tab false\'; sleep 1; '
        "typeset line; for line in 'pdns feeds qual' 'pdns check --conf' 'pdns check -c pdns-of' 'pdns rel'; do "
        "zpty -w -n z \"$line\"$'\\t'; sleep 1; zpty -w -n z $'\\x15'; done; sleep 1; "
        "typeset out all; while zpty -r -t z out; do all+=$out; done; print -r -- $all; zpty -d z"
    )
    environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "LC_ALL": "C.UTF-8", "TERM": "dumb"}
    done = subprocess.run(["zsh", "-f", "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=60)
    for shown in ("feeds quality", "check --config", "-c pdns-of-ours.toml", "pdns reload"):
        assert shown in done.stdout, done.stdout


def test_completion_knows_every_option() -> None:
    """Each script has each option of each command."""
    for command in COMMANDS:
        for name in (name for each in command.options for name in each.names):
            assert name in _bash_row(command), (command.name, name)
            assert name in TEXTS["completion/_pdns"]
            flag = f"-l {name[2:]} " if name.startswith("--") else f"-s {name[1:]} "
            assert flag in TEXTS["completion/pdns.fish"]


def _bash_row(command: Command) -> str:
    at = "".join(f" {word}" for word in command.path)
    (row,) = (line for line in TEXTS["completion/pdns"].splitlines() if line.startswith(f"    '{at}')"))
    return row
