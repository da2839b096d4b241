"""The names that traffic is made of: listed ones and benign ones. Real when there is real data, else generated."""

from __future__ import annotations

import ipaddress
import json
import random
from collections.abc import Iterator
from pathlib import Path

import msgspec

from pdns.errors import InvalidName
from pdns.wire import names

_TLDS = ("com", "net", "org", "info", "co.uk", "xyz", "top", "ru", "de", "com.br", "online", "site", "io", "shop", "club", "cn")
_WORDS = """
    account alert amazon apple auth bank billing bonus box card cash center claim click cloud coin confirm connect
    crypto data delivery desk direct docs drive express file fund gate gift global group help home hub info invoice
    key link live login mail market media mobile money my net news office online order page paid parcel pay phone
    photo pin play point portal post prime prize promo protect refund register reward safe sale secure security
    service shop sign site smart soft start store stream support survey swift sync system tax team tech tele token
    track trade transfer trust update upload verify video view vip wallet watch web win work world zone
""".split()  # noqa: SIM905  # a list of words reads better as words
_HOSTS = ("www", "mail", "cdn", "api", "static", "img", "m", "app", "login", "assets")
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
# Answered by the resolver itself, whatever a feed says (RFC 6761 and others): no use for measuring the other paths.
_SPECIAL = frozenset({b"test", b"local", b"localhost", b"invalid", b"example", b"onion", b"arpa", b"internal", b"alt"})


class Population(msgspec.Struct, frozen=True, kw_only=True):
    """Names in wire form. No benign name is at or below a listed one."""

    source: str  # what they are, in words
    list_file: Path  # a feed of plain domains that holds every listed name
    listed_count: int
    listed: list[bytes]  # a sample that every path draws from, in no order
    benign: list[bytes]  # most popular first


def generated(directory: Path, listed: int = 1_000_000, benign: int = 10_000, sample: int = 500_000, seed: int = 1) -> Population:
    """`listed` distinct names made of words, the same ones at every run, in a file in `directory` that is made once."""
    file = directory / f"listed-{listed}-{seed}.txt"
    if file.exists():
        texts = file.read_text().split()
    else:
        texts = sorted(_first_distinct(_listed_texts(seed), listed))
        directory.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(texts) + "\n")
    source = f"{len(texts):,} generated names"
    return _population(source, file, texts, _benign_texts(seed), benign=benign, sample=sample, seed=seed)


def from_data(data: Path, benign: int = 10_000, sample: int = 500_000, seed: int = 1) -> Population | None:
    """The big list and a top list out of the directory `data`; None when it does not hold them."""
    lists = [*data.glob("maltrail.txt"), *data.rglob("*static-trails-unique-domains*.txt")]
    tops = [*data.rglob("cloudflare-top20k/list.json"), *data.rglob("tranco10k/list.json")]
    if not lists or not tops:
        return None
    texts = lists[0].read_text().split()
    top: list[str] = json.loads(tops[0].read_text())["list"]
    random.Random(seed).shuffle(top)  # the list is in the order of the alphabet
    source = f"{len(texts):,} names of {lists[0].name}, benign names of {tops[0].parent.name}"
    return _population(source, lists[0], texts, iter(top), benign=benign, sample=sample, seed=seed)


def _population(
    source: str, file: Path, texts: list[str], others: Iterator[str], *, benign: int, sample: int, seed: int
) -> Population:
    listed_texts = set(texts)
    chosen = random.Random(seed).sample(texts, min(len(texts), sample))
    clean = (text for text in others if not _is_listed(text, listed_texts))
    good = []
    for name in _wire(clean):
        good.append(name)
        if len(good) == benign:
            break
    listed = list(_wire(iter(chosen)))
    return Population(source=source, list_file=file, listed_count=len(texts), listed=listed, benign=good)


def _is_listed(text: str, listed: set[str]) -> bool:
    labels = text.lower().rstrip(".").split(".")
    return any(".".join(labels[at:]) in listed for at in range(len(labels)))


def _wire(texts: Iterator[str]) -> Iterator[bytes]:
    """What is a name of two labels or more, is not special, and leaves room for a label in front."""
    for text in texts:
        try:
            name = names.from_text(text)
        except InvalidName:
            continue
        labels = names.labels_of(name)
        if len(labels) > 1 and labels[-1] not in _SPECIAL and len(name) < 200 and not _is_address(text):
            yield name


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _first_distinct(texts: Iterator[str], count: int) -> set[str]:
    found: set[str] = set()
    for text in texts:
        found.add(text)
        if len(found) == count:
            break
    return found


def _listed_texts(seed: int) -> Iterator[str]:
    """Four shapes that lists are full of: two words and a number, a host in front, three words, random letters."""
    rng = random.Random(seed)
    while True:
        bits = rng.getrandbits(64)
        bits, shape = divmod(bits, 4)
        bits, number = divmod(bits, 10_000)
        bits, tld = divmod(bits, len(_TLDS))
        bits, first = divmod(bits, len(_WORDS))
        bits, second = divmod(bits, len(_WORDS))
        bits, third = divmod(bits, len(_WORDS))
        one, two, three, end = _WORDS[first], _WORDS[second], _WORDS[third], _TLDS[tld]
        if shape == 0:
            yield f"{one}-{two}{number}.{end}"
        elif shape == 1:
            yield f"{one}.{two}{three}{number % 100}.{end}"
        elif shape == 2:
            yield f"{one}-{two}-{three}.{end}"
        else:
            yield "".join(rng.choices(_LETTERS, k=8 + number % 8)) + f".{end}"


def _benign_texts(seed: int) -> Iterator[str]:
    rng = random.Random(seed + 1)
    seen = set()
    while True:
        text = f"{rng.choice(_HOSTS)}.{rng.choice(_WORDS)}{rng.choice(_WORDS)}{rng.randrange(1000)}.{rng.choice(_TLDS[:5])}"
        if text not in seen:
            seen.add(text)
            yield text
