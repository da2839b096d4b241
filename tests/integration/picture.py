"""Draws docs/images/blocked.svg: what a blocked name looks like, from commands that a running resolver answers.

    python -m tests.integration.picture

Each command and each line below it is what the program printed at that moment; lines that say nothing here are left out.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from tests.integration.running_pdns import ROOT, RunningPdns, feed

PICTURE = ROOT / "docs/images/blocked.svg"
BLOCKED = "login-council.example"
FEEDS = (("phishing-list", "phishing", (BLOCKED, "parcel-fee.example")), ("malware-list", "malware", ("update.example",)))
_FONT_PX, _WIDE_PX, _LINE_PX, _MARGIN_PX = 13, 8.2, 19, 16
_BACK, _TEXT, _DIM, _PROMPT = "#10151c", "#d5dbe3", "#8b96a5", "#7cc4ff"


class Shown(NamedTuple):
    """A command, whom it concerns, and a pattern for the lines of its output that are shown."""

    title: str
    text: str
    kept: str


SHOWN = (
    Shown("A member of staff follows a link in a phishing mail", f"dig www.{BLOCKED}", r"status:|EDE|^www.*\sA\s"),
    Shown("The security team: why?", f"pdns explain www.{BLOCKED}", r"^  feed |^  phishing-list |^    A "),
    Shown(
        "How much, by which feed, for whom: for Prometheus",
        "curl -s localhost:9153/metrics | grep 'blocked_total.* [1-9]'",
        r"^pdns.* [1-9]",
    ),
    Shown("How the feeds stand", "pdns feeds status", r"feed|list"),
    Shown("Somebody needs the site all the same", f'pdns allow {BLOCKED} --reason "training exercise" --for 2h', r"."),
)


def configuration(directory: Path) -> dict[str, object]:
    """What the resolver of the picture runs by."""
    feeds = [feed(directory, name, *names, category=category) for name, category, names in FEEDS]
    return {"feed": feeds, "tenant": [{"name": "library", "networks": ["127.0.0.1"]}]}


def output(pdns: RunningPdns, shown: Shown) -> list[str]:
    """The lines that a command prints, of which the picture shows those that say something."""
    real = shown.text.replace("dig ", f"dig @127.0.0.1 -p {pdns.dns_port} ").replace(
        "localhost:9153", f"127.0.0.1:{pdns.metrics_port}"
    )
    python = f"{shlex.quote(sys.executable)} -m pdns"
    real = re.sub(r"^pdns (.*)", rf"{python} \1 -c {shlex.quote(str(pdns.config_path))}", real)
    printed = subprocess.run(real, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    return [line.expandtabs(8).rstrip() for line in printed.splitlines() if re.search(shown.kept, line)]


def svg(parts: Sequence[tuple[Shown, Sequence[str]]]) -> str:
    """The picture: a terminal. It brings its own colours and asks for no font from elsewhere."""
    rows: list[tuple[str, str]] = []
    for shown, lines in parts:
        rows += [(_DIM, f"# {shown.title}"), (_PROMPT, f"$ {shown.text}"), *((_TEXT, line) for line in lines), (_TEXT, "")]
    rows.pop()
    width = round(max(len(text) for _, text in rows) * _WIDE_PX + 2 * _MARGIN_PX)
    height = len(rows) * _LINE_PX + 2 * _MARGIN_PX
    at = [_MARGIN_PX + _FONT_PX + _LINE_PX * row for row in range(len(rows))]
    texts = "\n".join(
        f'<text x="{_MARGIN_PX}" y="{y}" fill="{colour}" xml:space="preserve">{escape(text)}</text>'
        for y, (colour, text) in zip(at, rows, strict=True)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="{_FONT_PX}">\n'
        f'<rect width="{width}" height="{height}" rx="8" fill="{_BACK}"/>\n{texts}\n</svg>\n'
    )


def texts(picture: str) -> list[str]:
    """Every line of text in a picture."""
    return [re.sub("&(lt|gt|amp|quot|#x27);", _unescape, text) for text in re.findall(r"<text[^>]*>([^<]*)</text>", picture)]


def _unescape(entity: re.Match[str]) -> str:
    return {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "#x27": "'"}[entity[1]]


def main() -> None:
    """Start a resolver, ask it, draw."""
    with tempfile.TemporaryDirectory() as directory, RunningPdns(Path(directory), configuration(Path(directory))) as pdns:
        PICTURE.write_text(svg([(shown, output(pdns, shown)) for shown in SHOWN]), encoding="utf-8")


if __name__ == "__main__":
    main()
