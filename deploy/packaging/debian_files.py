"""Writes `changelog` and `copyright` of the Debian package: `python -m deploy.packaging.debian_files VERSION WHEELS DIRECTORY`.

Reads CHANGELOG.md and LICENSE of the working directory, and the wheels that go into the package.
"""

from __future__ import annotations

import os
import re
import sys
import textwrap
import time
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Final

from deploy.packaging.changelog import UNRELEASED, sections
from deploy.packaging.licences import Library, libraries

_WHO: Final = "Protective DNS maintainers <maintainers@protective-dns.invalid>"
_COMMON: Final = frozenset({"Apache-2.0", "MPL-2.0"})  # in /usr/share/common-licenses
_WIDTH: Final = 78


def changelog(text: str, version: str, now_s: float) -> str:
    """debian/changelog from CHANGELOG.md. `version`: of the package that is made, which gets the newest section."""
    made = []
    for at, section in enumerate(sections(text)):
        number = version if at == 0 else section.version.replace("-", "~")
        when = datetime.fromisoformat(section.date).replace(tzinfo=UTC) if section.date else datetime.fromtimestamp(now_s, UTC)
        if at == 0:
            when = datetime.fromtimestamp(now_s, UTC)
        changes = section.changes() or ["New version."]
        lines = [
            line
            for change in changes
            for line in textwrap.wrap(change, _WIDTH, initial_indent="  * ", subsequent_indent="    ", break_on_hyphens=False)
        ]
        name = "UNRELEASED" if section.version == UNRELEASED else "stable"
        made.append(
            f"protective-dns ({number}) {name}; urgency=medium\n\n"
            + "\n".join(lines)
            + f"\n\n -- {_WHO}  {format_datetime(when)}\n"
        )
    return "\n".join(made)


def copyright_file(licence: str, found: list[Library]) -> str:
    """debian/copyright, in the machine-readable format 1.0."""
    (notice,) = re.findall(r"^Copyright (.*)$", licence, re.MULTILINE)
    own = licence.partition(notice)[2].strip()
    head = (
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: protective-dns\n"
        "Comment: The libraries below usr/lib/protective-dns/lib are copies of wheels from PyPI.\n"
        " deploy/requirements.lock has their versions and hashes."
    )
    stanzas = [
        head,
        f"Files: *\nCopyright: {notice}\nLicense: MIT\n{_indented(own)}",
    ]
    for library in found:
        files = "\n ".join(
            f"usr/lib/protective-dns/lib/*/site-packages/{name}{'' if '.' in name else '/*'}" for name in library.packages
        )
        notices = "\n ".join(re.sub(r"^copyright:?\s+", "", notice, flags=re.IGNORECASE) for notice in library.notices)
        text = library.text
        if not text and library.licence in _COMMON:
            text = f"On Debian systems, /usr/share/common-licenses/{library.licence} has its text."
        short = library.licence.replace(" AND ", " and ").replace(" OR ", " or ")
        stanzas.append(
            f"Files: {files}\nCopyright: {notices}\nLicense: {short}\n{_indented(text or 'Its wheel has no text of it.')}\n"
            f"Comment: {library.name} {library.version}, {library.url}"
        )
    return "\n\n".join(stanzas) + "\n"


def _indented(text: str) -> str:
    return "\n".join(f" {line}".rstrip() if line.strip() else " ." for line in text.expandtabs(4).strip("\n").splitlines())


def main() -> None:
    version, wheels, directory = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    now_s = float(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
    text = changelog(Path("CHANGELOG.md").read_text(encoding="utf-8"), version, now_s)
    (directory / "changelog").write_text(text, encoding="utf-8")
    text = copyright_file(Path("LICENSE").read_text(encoding="utf-8"), libraries(wheels))
    (directory / "copyright").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
