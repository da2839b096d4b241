"""A manual page for the program and for each of its commands; what is below a command is a part of its page."""

from __future__ import annotations

import re
from typing import Final

from deploy.manual.roff import bold, escaped, italic
from deploy.manual.tree import Command, Parameter

_DOCUMENTS: Final = "/usr/share/doc/protective-dns"
_FILES: Final = (
    ("/etc/protective-dns/pdns.toml", "The configuration, unless the working directory has a pdns.toml. See pdns.toml(5)."),
    ("/etc/protective-dns/conf.d/*.toml", "More of it, read in the order of their names."),
    ("/var/lib/protective-dns", "The state directory of the service: copies of lists, compiled lists, local entries, events."),
    ("/var/log/protective-dns", "Logs that the configuration asks for. The log of the service itself is in the journal."),
)
_EXIT: Final = (
    ("0", "Done."),
    ("1", "It failed, or a change is not in force everywhere yet."),
    ("2", "It was used wrongly, the configuration has errors, or the answer cannot be known."),
)
_SIGNALS: Final = (
    ("SIGTERM, SIGINT", "End; answers to queries in flight are waited for."),
    ("SIGHUP", "Read the configuration again."),
    (
        "SIGUSR2",
        "Replace the processes that answer, one after the other, by the program that is installed now. No query is lost.",
    ),
)


def pages(program: Command) -> dict[str, list[str]]:
    """The lines of each page, by its name."""
    made = {"pdns": _program(program)}
    for command in program.commands:
        made[f"pdns-{command.path[0]}"] = _command(command)
    return made


def _program(program: Command) -> list[str]:
    lines = [".SH NAME", "pdns \\- protective DNS resolver", ".SH SYNOPSIS", _usage(program), ".SH DESCRIPTION"]
    lines += _paragraphs(program.help)
    lines += [".SH COMMANDS"]
    for command in program.commands:
        lines += [".TP", bold(f"pdns-{command.path[0]}") + "(1)", escaped(command.summary + ".")]
    lines += [".SH OPTIONS", *_listed(program.options)]
    for title, rows in (("SIGNALS", _SIGNALS), ("EXIT STATUS", _EXIT), ("FILES", _FILES)):
        lines.append(f".SH {title}")
        for tag, text in rows:
            lines += [".TP", bold(tag), escaped(text)]
    lines += [".SH SEE ALSO"]
    lines += [bold("pdns.toml") + "(5),", *_see_also([f"pdns-{each.path[0]}" for each in program.commands])]
    lines += [".PP", escaped(f"{_DOCUMENTS} has the other pages: operations.md, runbook.md, policy.md, feeds.md and more.")]
    return lines


def _command(command: Command) -> list[str]:
    name = f"pdns-{command.path[0]}"
    lines = [".SH NAME", f"{escaped(name)} \\- {escaped(_lower(command.summary))}", ".SH SYNOPSIS"]
    runs = [each for each in command.walk() if each.runs_alone]
    for at, each in enumerate(runs):
        lines += [".br"] * (at > 0) + [_usage(each)]
    lines += [".SH DESCRIPTION", *_paragraphs(command.help)]
    if command.runs_alone:
        lines += _parameters(command, ".SH")
    if command.commands:
        lines.append(".SH COMMANDS")
        for each in list(command.walk())[1:]:
            lines += [f'.SS "{escaped(each.name)}"', _usage(each), *_paragraphs(each.help), *_parameters(each, "")]
    lines += [".SH SEE ALSO", bold("pdns") + "(1),", bold("pdns.toml") + "(5)"]
    return lines


def _parameters(command: Command, heading: str) -> list[str]:
    lines = []
    for title, parameters in (("ARGUMENTS", command.arguments), ("OPTIONS", command.options)):
        if parameters:
            lines += [f"{heading} {title}"] if heading else []
            lines += _listed(parameters)
    return lines


def _listed(parameters: tuple[Parameter, ...]) -> list[str]:
    lines = []
    for each in parameters:
        names = ", ".join(map(bold, each.names))
        lines += [".TP", " ".join(filter(None, (names, italic(each.value)))), escaped(_sentence(each.help)) or "\\&"]
    return lines


def _usage(command: Command) -> str:
    words = [bold(command.name), "[" + italic("options") + "]"]
    for each in command.arguments:
        shown = italic(each.value) + (" ..." if each.repeated else "")
        words.append(shown if each.required else f"[{shown}]")
    if command.commands:
        command_word = italic("command")
        words.append(f"[{command_word}]" if command.runs_alone and command.path else command_word)
    return " ".join(words)


def _see_also(names: list[str]) -> list[str]:
    return [bold(name) + "(1)" + "," * (at < len(names) - 1) for at, name in enumerate(names)]


def _paragraphs(text: str) -> list[str]:
    return [line for each in re.split(r"\n\s*\n", text.strip()) for line in (".PP", escaped(each))]


def _lower(text: str) -> str:
    return text if text[:2].isupper() else text[:1].lower() + text[1:]


def _sentence(text: str) -> str:
    return text if text.endswith((".", "]", ")", "")) and text[-1:] in ".])" else f"{text}." if text else ""
