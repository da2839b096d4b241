"""Carries out a Containerfile without an engine: every step in order, in Debian trees, as the stage says.

Only the instructions that deploy/container/Containerfile uses are known; others fail.
"""

from __future__ import annotations

import fnmatch
import io
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from dockerfile_parse import DockerfileParser

from tests.integration.debiantree import copy_of_tree, run_in_tree

_VARIABLE: Final = re.compile(r"\$\{(\w+)\}|\$(\w+)")
_METADATA: Final = ("LABEL", "EXPOSE", "VOLUME", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD")


@dataclass
class Stage:
    """A stage as far as it is built: its root file system, and what containers made from it get."""

    root: Path
    base: str
    env: dict[str, str] = field(default_factory=dict)
    args: dict[str, str] = field(default_factory=dict)
    shell: list[str] = field(default_factory=lambda: ["/bin/sh", "-c"])
    workdir: str = "/"
    user: str = "0:0"
    metadata: dict[str, str] = field(default_factory=dict)

    def argv(self, instruction: str) -> list[str]:
        """The arguments of the exec form. A shell form fails: its program would not be process 1."""
        text = self.metadata[instruction]
        found: list[str] = json.loads(text[text.index("[") :])
        return found


def build(containerfile: Path, context: Path, directory: Path, args: Mapping[str, str]) -> Stage:
    """The last stage. Root file systems are made below `directory`."""
    parser = DockerfileParser(fileobj=io.BytesIO(containerfile.read_bytes()))
    defaults: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    for step in parser.structure:
        instruction, value = step["instruction"], step["value"]
        if instruction == "COMMENT":
            continue
        if stage is None and instruction == "ARG":
            name, _, default = value.partition("=")
            defaults[name] = args.get(name, default)
            continue
        if instruction == "FROM":
            base, _, name = _expanded(value, defaults).partition(" AS ")
            stage = Stage(copy_of_tree(directory / f"stage{len(stages)}"), base)
            stages[name or "last"] = stage
            continue
        assert stage is not None, f"{instruction} before FROM"
        _carry_out(stage, instruction, value, stages, context, args)
    assert stage is not None
    return stage


def _carry_out(
    stage: Stage, instruction: str, value: str, stages: Mapping[str, Stage], context: Path, args: Mapping[str, str]
) -> None:
    known = {**stage.args, **stage.env}
    match instruction:
        case "ARG":
            name, _, default = value.partition("=")
            stage.args[name] = args.get(name, default.strip('"'))
        case "ENV":
            stage.env.update(
                (name, one) for name, _, one in (pair.partition("=") for pair in shlex.split(_expanded(value, known)))
            )
        case "SHELL":
            stage.shell = json.loads(value)
        case "WORKDIR":
            stage.workdir = value
            (stage.root / value.lstrip("/")).mkdir(parents=True, exist_ok=True)
        case "USER":
            stage.user = value
        case "RUN":
            assert stage.user == "0:0", "no step runs as another user"
            run_in_tree(stage.root, [*stage.shell, value], env={**stage.args, **stage.env}, cwd=stage.workdir)
        case "COPY":
            _copy(stage, value.split(), stages, context)
        case _:
            assert instruction in _METADATA, f"{instruction} is not known here"
            stage.metadata[instruction] = _expanded(value, known)


def _copy(stage: Stage, words: list[str], stages: Mapping[str, Stage], context: Path) -> None:
    origin, ignored = context, Ignored(context / ".containerignore")
    if words[0].startswith("--from="):
        origin, ignored = stages[words.pop(0).removeprefix("--from=")].root, Ignored(None)
    *sources, target = words
    to = stage.root / target.lstrip("/")
    for source in sources:
        path = origin / source.lstrip("/")
        assert path.exists(), f"COPY {source}: not there"
        assert not ignored(source), f"COPY {source}: left out by .containerignore"
        if path.is_dir():

            def leaves_out(directory: str, names: list[str]) -> set[str]:
                return {name for name in names if ignored(str((Path(directory) / name).relative_to(origin)))}

            shutil.copytree(path, to, symlinks=True, ignore=leaves_out, dirs_exist_ok=True)
        else:
            file = to / path.name if target.endswith("/") else to
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, file)


class Ignored:
    """Which paths of the context a builder does not see: the last line that matches a path or a directory above it decides."""

    def __init__(self, file: Path | None) -> None:
        lines = file.read_text().splitlines() if file else []
        self._lines = [line for line in lines if line and not line.startswith("#")]

    def __call__(self, path: str) -> bool:
        parts = path.split("/")
        above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        out = False
        for line in self._lines:
            pattern = line.removeprefix("!")
            if pattern.startswith("**/"):
                hit = any(fnmatch.fnmatch(part, pattern[3:]) for part in parts)
            else:
                hit = any(fnmatch.fnmatchcase(one, pattern) for one in above)
            if hit:
                out = not line.startswith("!")
        return out


def _expanded(text: str, values: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: values.get(found[1] or found[2], ""), text)


def start(stage: Stage, mounts: Mapping[Path, str], volume_mode: str) -> subprocess.Popen[bytes]:
    """The entry point as process 1 of its own process ids, with a root file system that is read only, its volume in memory,
    no privilege and none to gain. `mounts`: files or directories of this machine -> where they are seen. `volume_mode`: options
    of tmpfs that say whose the volume is.
    """
    root = stage.root
    (volume,) = json.loads(stage.metadata["VOLUME"])
    for place in mounts.values():
        (root / place.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        (root / place.lstrip("/")).touch()
    lines = [
        f"mount --bind {root} {root}",
        f"mount --rbind /dev {root}/dev",
        f"mount -t tmpfs -o size=256m,{volume_mode} tmpfs {root}{volume}",
        *(f"mount --bind {source} {root}{place}" for source, place in mounts.items()),
        f"mount -o remount,bind,ro {root}",
        f"mount -t proc proc {root}/proc",
        shlex.join(
            ["exec", "chroot", str(root), "/usr/bin/env", "-i", "-C", stage.workdir, *(f"{k}={v}" for k, v in stage.env.items())]
        )
        + " "
        + shlex.join([*_as_user(stage), *stage.argv("ENTRYPOINT"), *stage.argv("CMD")]),
    ]
    script = "set -e\n" + "\n".join(lines)
    return subprocess.Popen(
        ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def inside(stage: Stage, pid: int, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Runs `command` beside process `pid` of this machine, as an engine runs a health check."""
    enter = ["nsenter", f"--target={pid}", "--mount", "--pid", "--root", "/usr/bin/env", "-i"]
    enter += [*(f"{k}={v}" for k, v in stage.env.items()), *_as_user(stage), *command]
    return subprocess.run(enter, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)


def _as_user(stage: Stage) -> list[str]:
    uid, gid = stage.user.split(":")
    return [
        "/usr/bin/setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs", "--inh-caps=-all",
        "--ambient-caps=-all", "--bounding-set=-all",
    ]  # fmt: skip
