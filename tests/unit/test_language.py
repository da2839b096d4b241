"""Texts and names use the words that readers of this field search for. A table has the words to avoid and what to write instead.

Comments, docstrings, string literals and pages are searched for words, code for names.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
THIS = str(Path(__file__).relative_to(ROOT))
CODE = (".py", ".pyi", ".pyx", ".pxd")
TOPS = ("pdns", "feeds", "loadtest", "deploy", "docs", "tests")
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md")

# In texts: a pattern, and what to write instead.
WORDS = {
    r"octets?": "bytes",
    r"nobody": "no client, no process; or a passive without an agent",
    r"passed over|odd lines?": "skipped, skipped line",
    r"(?:told|tell|tells|telling)(?: \w+)? apart": "detected, distinguished",
    r"word of it|a word on|\w+'s word|last word": "say what is meant",
    r"over the heads?": "say what is meant",
    r"(?:let|lets|letting) go of": "closes, releases, frees",
    r"who gives|what is not known|is no concern|on the way of a query|the way of a (?:query|feed)": "subject, verb, object",
    r"(?<!there )(?:is|are) (?-i:none)": "is not one; there is none",
    r"sightings?": "block ring, block record",
    r"distill\w*": "cacheable",
    r"sift\w*": "classify",
    r"flights": "in flight",
    r"lanes?": "fast forwarding",
    r"promot(?:e|es|ed|ing|ion) (?:an? |the )?(?:quer(?:y|ies)|questions?|miss(?:es)?)": "punt",  # releases are promoted
    r"tally|tallies": "statistics",
    r"(?<!in )(?:the|its) front(?! of)": "the fast path",
    r"(?<!DNS )stamp(?:s|ed|ing)?": "rules epoch",  # but DNS stamps are addresses of servers
    r"watched(?!\.(?:example|test)\b)": "monitored",
    r"judgements?|rulings?": "verdict, decision",
    r"the desk|the keeper|(?<!in )an order|orders": "command, scheduler",
    r"(?:the|its|by|each|every) cut(?! short)": "filter key",
    r"(?<!in )facts?(?!\.(?:bin|msgpack))": "annotation",
    r"the house": "this network, this resolver",
}  # fmt: skip
_ANY = re.compile(
    rf"(?<![\w-])(?:{'|'.join(f'(?P<w{at}>{word})' for at, word in enumerate(WORDS))})(?![\w-])",
    re.IGNORECASE,
)
_INSTEAD = {f"w{at}": instead for at, instead in enumerate(WORDS.values())}

# Parts of identifiers, however these are spelt, and whole identifiers, in just this spelling.
PARTS = {
    "carrier", "desk", "distill", "flights", "hub", "judgement", "judgment", "keeper", "lane", "lanes", "octet", "octets",
    "ruling", "rulings", "sift", "sighting", "sightings", "tally",
}  # fmt: skip
WHOLE = {"Asked", "Front", "Heard", "OddLines", "house"}
# Modules, classes and functions are not called so; the words are everyday ones otherwise.
OF_OURS = {
    "choice", "cut", "decisions", "distinct", "facts", "front", "give", "guard", "hear", "hold", "indicators", "localdata",
    "machine", "orders", "ordinary", "protected", "record", "remembered", "runner", "running", "say", "share", "stamp", "told",
    "watch", "watched",
}  # fmt: skip
# Names that stay: what they are called after.
STAY = {
    "pdns/config/watch.py: watch": "watches the configuration file",
    "pdns/config/schema.py: Guard": "the section [guard]",
    "pdns/config/schema.py: Record": "the section [[record]]",
    "pdns/config/rules.py: _guard": "the section [guard]",
    "pdns/cli/indicators.py: indicators": "the command `pdns indicators`",
    "pdns/fast/openssl.pxd: OSSL_PARAM_construct_octet_string": "a function of OpenSSL",
}


def _files() -> Iterator[str]:
    kinds = {*CODE, ".md", ".c", ".h", ".toml", ".yml", ".service"}
    found = [path for top in TOPS for path in (ROOT / top).rglob("*") if path.suffix in kinds]
    yield from PAGES
    for path in sorted(found):
        name = str(path.relative_to(ROOT))
        if name != THIS and not name.startswith(("docs/CHANGELOG", "tests/data", "loadtest/build")):
            yield name


FILES = list(_files())


def _texts(file: str, source: str) -> Iterator[tuple[int, str]]:
    """Every piece of a file that people read, with its line."""
    if file.endswith(".py"):
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.lineno, node.value
    elif file.endswith(CODE):
        for found in re.finditer(r'""".*?"""|"[^"\n]*"|#.*', source, re.DOTALL):
            yield source[: found.start()].count("\n") + 1, found[0]
    else:
        prose = re.sub(r"^```.*?^```$", lambda fence: "\n" * fence[0].count("\n"), source, flags=re.DOTALL | re.MULTILINE)
        yield from enumerate(prose.split("\n"), 1)


def words_in(file: str, source: str) -> list[str]:
    """Each word of `WORDS` in the texts of a file. What stands between backquotes, and strings without a space, are names."""
    found = []
    for line, text in _texts(file, source):
        prose = re.sub(r"`[^`\n]*`", "", text)
        if " " in prose.strip():
            hits = [(match[0], _INSTEAD[match.lastgroup or ""]) for match in _ANY.finditer(prose)]
            found += [f"{file}:{line}: {hit!r}: write {instead}" for hit, instead in hits]
    return found


def _parts(identifier: str) -> set[str]:
    return {part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", identifier)}


def _identifiers(file: str, source: str) -> set[str]:
    if file.endswith(".py"):
        tokens = tokenize.generate_tokens(io.StringIO(source).readline)
        return {token.string for token in tokens if token.type == tokenize.NAME}
    return set(re.findall(r"[A-Za-z_]\w*", re.sub(r'""".*?"""|"[^"\n]*"|#.*', "", source, flags=re.DOTALL)))


def _names_of_ours(file: str, source: str) -> set[str]:
    names = {Path(file).stem}
    if file.endswith(".py"):
        kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        names |= {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)}
    else:
        names |= set(re.findall(r"^ *(?:cdef|cpdef|def|class|async def)\b[^\n=]*?(\w+)(?=[(:])", source, re.MULTILINE))
    return names


def names_in(file: str, source: str) -> list[str]:
    """Each identifier of a module that has a word of `PARTS` in it or is one of `WHOLE`, and each name of ours of `OF_OURS`."""
    found = [name for name in _identifiers(file, source) if name in WHOLE or _parts(name) & PARTS]
    found += [name for name in _names_of_ours(file, source) if name.strip("_").lower() in OF_OURS]
    return sorted(f"{file}: {name}" for name in found if f"{file}: {name}" not in STAY)


def _read(file: str) -> str:
    return (ROOT / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("top", [*TOPS, *PAGES])
def test_texts_and_names_use_plain_words(top: str) -> None:
    """No text has a word of the table, and no name."""
    found: list[str] = []
    for file in FILES:
        if file == top or file.startswith(f"{top}/"):
            source = _read(file)
            found += words_in(file, source) + (names_in(file, source) if file.endswith(CODE) else [])
    assert found == []


def test_names_that_stay_are_there() -> None:
    """An exception for a name that is gone would excuse the next one."""
    for entry in STAY:
        file, _, name = entry.partition(": ")
        source = _read(file)
        assert name in _names_of_ours(file, source) | _identifiers(file, source), entry


SAMPLES = {
    "octet": "a name of 255 octets",
    "nobody": "nobody reads it",
    "passed": "lines that were passed over",
    "told": "formats are told apart",
    "word": "by a Bloom filter's word",
    "let": "it lets go of the socket",
    "who": "who gives it reads it",
    "none": "a fault that is none",
    "front": "the front answers it",
    "stamp": "the stamp of an entry",
    "order": "what orders an administrator gave",
    "cut": "the cut of a name",
    "fact": "the facts of a name",
}


@pytest.mark.parametrize("text", SAMPLES.values(), ids=SAMPLES)
@pytest.mark.parametrize(
    ("file", "form"),
    [
        ("a.py", "# {}\n"),
        ("a.py", '"""{}"""\n'),
        ("a.py", 'x = f"{{y}} {}"\n'),
        ("a.pyx", "cdef int x  # {}\n"),
        ("a.md", "Text: {}.\n"),
    ],
    ids=["comment", "docstring", "literal", "kernel", "page"],
)
def test_a_word_is_found(text: str, file: str, form: str) -> None:
    """A sentence with a word of the table is found wherever it stands, and not as a name between backquotes."""
    assert words_in(file, form.format(text))
    assert words_in(file, form.format(f"see `{text}` here")) == []


def test_names_are_found() -> None:
    """Names are found in any spelling; words with an everyday meaning only where they name a module, a class or a function."""
    source = "class Front:\n    def hold(self, watch):\n        self.octet_count = watch\nHubOfAll = share = 1\n"
    assert names_in("a.py", source) == ["a.py: Front", "a.py: Front", "a.py: HubOfAll", "a.py: hold", "a.py: octet_count"]
    assert names_in("a.pyx", "cdef int stamp(int x):\n    return lane_of(x)\n") == ["a.pyx: lane_of", "a.pyx: stamp"]
    assert names_in("pdns/facts.py", "") == ["pdns/facts.py: facts"]


def test_everyday_words_are_fine() -> None:
    """A word of the table may have its everyday meaning."""
    for text in (
        "the order of feeds",
        "in front of the resolver",
        "in fact",
        "a timestamp",
        "a power cut",
        "there is none",
        "share",
    ):
        assert words_in("a.md", text) == []
    assert Counter(_parts("HTTPServer_inFlight")) == Counter(["http", "server", "in", "flight"])
