"""The commands of the program, as its own parser knows them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import typer.main

from pdns.__main__ import build

_FILES: Final = frozenset({"FILE", "LIST", "OLD", "NEW"})  # what the help texts call a value that may be a file


@dataclass(frozen=True, slots=True)
class Parameter:
    """An option, or an argument, which has no `names`."""

    names: tuple[str, ...]
    value: str  # what stands for its value in help texts; "" for a flag
    help: str
    repeated: bool
    required: bool

    @property
    def is_file(self) -> bool:
        return self.value in _FILES

    @property
    def choices(self) -> tuple[str, ...]:
        return tuple(self.value.split("|")) if "|" in self.value else ()


@dataclass(frozen=True, slots=True)
class Command:
    """A command, and the commands below it."""

    path: tuple[str, ...]  # () is the program itself
    help: str
    options: tuple[Parameter, ...]
    arguments: tuple[Parameter, ...]
    commands: tuple[Command, ...]
    runs_alone: bool  # without one of the commands below it

    @property
    def name(self) -> str:
        return " ".join(("pdns", *self.path))

    @property
    def summary(self) -> str:
        """The first sentence of its help, without the full stop."""
        return re.split(r"(?<=[^.]{3})\.(?:\s|$)|: ", " ".join(self.help.split()), maxsplit=1)[0]

    def walk(self) -> Iterator[Command]:
        """The command itself, and all below it."""
        yield self
        for command in self.commands:
            yield from command.walk()


def program() -> Command:
    """The whole command line."""
    root: Any = typer.main.get_command(build())
    return _command(root, root.make_context("pdns", [], resilient_parsing=True), ())


def _command(command: Any, context: Any, path: tuple[str, ...]) -> Command:
    parameters = [(_parameter(each), each) for each in command.get_params(context) if not getattr(each, "hidden", False)]
    below = []
    for name, each in getattr(command, "commands", {}).items():
        if not each.hidden:
            below.append(_command(each, each.context_class(each, info_name=name, parent=context), (*path, name)))
    return Command(
        path,
        command.help or "",
        tuple(made for made, each in parameters if each.param_type_name == "option"),
        tuple(made for made, each in parameters if each.param_type_name == "argument"),
        tuple(below),
        not below or (command.invoke_without_command and not command.no_args_is_help),
    )


def _parameter(parameter: Any) -> Parameter:
    value = (parameter.metavar or parameter.name.upper()).strip("[]{}.")
    if parameter.param_type_name == "argument":
        names: tuple[str, ...] = ()
    else:
        names = tuple(sorted((*parameter.opts, *parameter.secondary_opts), key=len))
        value = "" if parameter.is_flag else value
    text = parameter.help or ""
    notes = [_range(getattr(parameter, "min", None), getattr(parameter, "max", None))]
    if (
        value
        and parameter.show_default
        and isinstance(parameter.default, str | int | float)
        and parameter.default != ""
        and "[default" not in text
    ):
        notes.append(f"default: {parameter.default}")
    shown = "; ".join(filter(None, notes))
    return Parameter(names, value, f"{text} [{shown}]" if shown else text, parameter.nargs != 1, bool(parameter.required))


def _range(least: float | None, most: float | None) -> str:
    if least is not None and most is not None:
        return f"from {least} to {most}"
    return f"at least {least}" if least is not None else f"at most {most}" if most is not None else ""
