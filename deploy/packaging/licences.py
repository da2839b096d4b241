"""Licences of the libraries in a directory of wheels: `python -m deploy.packaging.licences DIRECTORY` prints a table.

It fails if one is unknown, or does not allow what we do with it.
"""

from __future__ import annotations

import email
import re
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

OWN: Final = "protective-dns"
# They allow to pass the library on, unchanged, beside a program under another licence. SPDX identifiers.
ACCEPTED: Final = frozenset(
    {
        "0BSD",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "MIT",
        "MIT-0",
        "MPL-2.0",
        "PSF-2.0",
        "Python-2.0",
        "Unlicense",
        "Zlib",
    }
)
_CLASSIFIERS: Final = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
_TEXTS: Final = {  # what older metadata says in words of their own
    "apache": "Apache-2.0", "apache 2": "Apache-2.0", "apache 2.0": "Apache-2.0", "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "bsd": "BSD-3-Clause", "bsd license": "BSD-3-Clause", "bsd-3-clause": "BSD-3-Clause",
    "mit license": "MIT", "mpl-2.0": "MPL-2.0", "psf": "PSF-2.0",
}  # fmt: skip
_FILE: Final = re.compile(r"\.dist-info/(?:licenses/(?:.*/)?)?(?:licen[cs]e|copying|notice)[^/]*$", re.IGNORECASE)
_NOTICE: Final = re.compile(r"^[\s#*/]*((?:copyright|\(c\)|©)\s.*\d{4}.*|copyright (?:\(c\)|©).*)$", re.IGNORECASE | re.MULTILINE)
_WHOLE_BYTES: Final = 5000
_WORD: Final = re.compile(r"[A-Za-z0-9.+-]+|[()]")


@dataclass(frozen=True, slots=True)
class Library:
    """A library as its wheel describes it."""

    name: str
    version: str
    licence: str  # an SPDX expression; "" if unknown
    url: str
    packages: tuple[str, ...]  # what it has at the top of site-packages
    notices: tuple[str, ...]  # lines that say whose copyright it is
    text: str

    @property
    def acceptable(self) -> bool:
        return acceptable(self.licence)


def acceptable(expression: str) -> bool:
    """Whether an SPDX expression allows it: every licence joined by AND is accepted; of those joined by OR, one."""
    words = _WORD.findall(expression)
    return bool(words) and _any(words) and not words


def _any(words: list[str]) -> bool:
    """Takes the words up to the end, or to a closing parenthesis."""
    found = _all(words)
    while words and words[0] == "OR":
        del words[0]
        found = _all(words) or found
    return found


def _all(words: list[str]) -> bool:
    found = _one(words)
    while words and words[0] == "AND":
        del words[0]
        found = _one(words) and found
    return found


def _one(words: list[str]) -> bool:
    word = words.pop(0) if words else ""
    if word != "(":
        return word in ACCEPTED
    found = _any(words)
    return bool(words) and words.pop(0) == ")" and found


def libraries(directory: Path) -> list[Library]:
    """Those of all wheels in `directory` but our own, by name."""
    found = [_read(path) for path in sorted(directory.glob("*.whl"))]
    return sorted((each for each in found if each.name != OWN), key=lambda each: each.name)


def table(found: list[Library]) -> str:
    """A table in Markdown."""
    rows = [f"| {each.name} | {each.version} | {each.licence or 'unknown'} | {each.url} |" for each in found]
    return "\n".join(["| library | version | licence | home |", "|---|---|---|---|", *rows]) + "\n"


def _read(path: Path) -> Library:
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA") and name.count("/") == 1)
        told = email.message_from_bytes(wheel.read(metadata))
        texts = [wheel.read(name).decode(errors="replace") for name in names if _FILE.search(name)]
    urls = [value.partition(", ")[2] for value in told.get_all("Project-URL", [])]
    tops = {name.split("/")[0] for name in names}
    text = "\n\n".join(dict.fromkeys(map(_short, texts)))
    notices = tuple(dict.fromkeys(re.sub(r"\s+", " ", each).strip() for each in _NOTICE.findall("\n".join(texts))))
    return Library(
        re.sub(r"[-_.]+", "-", str(told["Name"])).lower(),
        str(told["Version"]),
        _licence(told),
        str(told["Home-page"] or next(iter(urls), "")),
        tuple(sorted(each for each in tops if not each.endswith((".dist-info", ".data")))),
        notices or (f"Copyright the authors of {told['Name']}",),
        text,
    )


def _short(text: str) -> str:
    """The text of a licence, or where Debian has it."""
    for title, name in (("TERMS AND CONDITIONS FOR USE, REPRODUCTION", "Apache-2.0"), ("Mozilla Public License", "MPL-2.0")):
        if title in text and len(text) > _WHOLE_BYTES:
            return f"On Debian systems, /usr/share/common-licenses/{name} has its text."
    return text


def _licence(told: email.message.Message) -> str:
    if expression := told["License-Expression"]:
        return str(expression)
    said = {value.split(" :: ")[-1] for value in told.get_all("Classifier", []) if value.startswith("License :: ")} - {
        "OSI Approved"
    }
    known = sorted({_CLASSIFIERS[each] for each in said if each in _CLASSIFIERS})
    if len(known) == 1 == len(said):
        return known[0]
    text = str(told["License"] or "").strip()
    return _TEXTS.get(text.lower(), text if text in ACCEPTED else " AND ".join(known) if len(known) == len(said) else "")


def _refused(found: list[Library]) -> Iterator[str]:
    for each in found:
        if not each.acceptable:
            yield f"{each.name} {each.version}: licence {each.licence or 'unknown'}"


def main() -> None:
    found = libraries(Path(sys.argv[1]))
    if refused := list(_refused(found)):
        sys.exit("\n".join(["These libraries cannot be passed on with the program:", *refused]))
    sys.stdout.write(table(found))


if __name__ == "__main__":
    main()
