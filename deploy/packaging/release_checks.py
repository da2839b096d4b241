"""Whether a version can be released: `python -m deploy.packaging.release_checks VERSION` prints what is wrong, and fails."""

from __future__ import annotations

import re
import sys
from datetime import UTC, date, datetime
from pathlib import Path

from deploy.packaging.changelog import UNRELEASED, sections


def problems(version: str, changelog: str, program: str, today: date) -> list[str]:
    """What is wrong. `program`: the text of pdns/__init__.py, which alone says the version."""
    found = []
    if not re.fullmatch(r"\d+\.\d+\.\d+(?:rc\d+)?", version):
        found.append(f"{version!r} is no version: write 1.2.3, or 1.2.3rc1")
    said = re.findall(r'^__version__ = "([^"]*)"$', program, re.MULTILINE)
    if said != [version]:
        found.append(f"pdns/__init__.py says {', '.join(said) or 'no version'}: set __version__ to {version}")
    newest, *rest = sections(changelog)
    if newest.version == UNRELEASED:
        if newest.text:
            found.append(f"CHANGELOG.md: entries under [Unreleased]: move them below `## [{version}] - {today}`")
        newest = rest[0] if rest else newest
    if newest.version != version:
        found.append(f"CHANGELOG.md: the newest section is [{newest.version}]: add `## [{version}] - {today}`")
    elif newest.date != str(today):
        found.append(f"CHANGELOG.md: [{version}] has the date {newest.date or '(none)'}, and today is {today}")
    elif not newest.changes():
        found.append(f"CHANGELOG.md: [{version}] says of no change")
    return found


def main() -> None:
    changelog, program = (Path(name).read_text(encoding="utf-8") for name in ("CHANGELOG.md", "pdns/__init__.py"))
    if found := problems(sys.argv[1], changelog, program, datetime.now(UTC).date()):
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
