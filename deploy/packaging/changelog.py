"""CHANGELOG.md: its versions, and what changed in each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

UNRELEASED: Final = "Unreleased"
_HEADING: Final = re.compile(r"^## \[([^\]]+)\](?: - (\d{4}-\d{2}-\d{2}))?\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Section:
    """What changed in one version."""

    version: str
    date: str  # "" if it has none
    text: str

    def changes(self) -> list[str]:
        """Each change as plain text on one line."""
        made: list[str] = []
        for line in self.text.splitlines():
            if line.startswith("- "):
                made.append(line[2:])
            elif made and line.startswith("  "):
                made[-1] += f" {line.strip()}"
        return [_plain(each) for each in made]


def sections(text: str) -> list[Section]:
    """The sections of a changelog, the newest first. Raises `ValueError` if it has none."""
    found = list(_HEADING.finditer(text))
    if not found:
        raise ValueError("CHANGELOG.md has no heading like `## [1.2.3] - 2026-01-31`")
    ends = [each.start() for each in found[1:]] + [len(text)]
    return [Section(each[1], each[2] or "", text[each.end() : end].strip()) for each, end in zip(found, ends, strict=True)]


def _plain(text: str) -> str:
    linked = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", text)
    return re.sub(r"\s+", " ", linked.replace("**", "").replace("`", "'")).strip()
