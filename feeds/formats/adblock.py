"""Adblock rules (AdGuard, uBlock Origin, Adblock Plus): those that mean a whole domain."""

from __future__ import annotations

import re

from feeds.formats import hosts
from feeds.formats.collector import Collector, is_section
from feeds.formats.content import Content
from feeds.formats.domains import tokens_of
from feeds.normalise import PLAIN_NAME, Reason

# `$all` and `$document` stop the page itself, `$important` ranks rules; any other modifier leaves a part of the domain alone.
_WHOLE_DOMAIN = frozenset((b"all", b"document", b"doc", b"important"))
_RULE = re.compile(rb"(@@)?\|\|([^\s/^$|#]+)(\^\*?)?\|?(?:\$([^\s/]+))?").fullmatch
_PLAIN_RULES = re.compile(rb"^\|\|(" + PLAIN_NAME + rb")\^\r?\n", re.MULTILINE).findall
_BADFILTER_MODIFIER = re.compile(rb"[$,]badfilter(?:,|$)", re.IGNORECASE).search
_HEADER = re.compile(rb"\[[^\[\]]*\]").fullmatch
_COMMENT = re.compile(rb"!|#(?![#@?$%])").match
_COSMETIC = re.compile(rb"#[@?$%]{0,3}#|\$@?\$|#@?%#").search
_REGEX = re.compile(rb"(?:@@)?/.+/(?:\$[a-zA-Z~].*)?").fullmatch
_MODIFIED = re.compile(rb"[^$]*\$[a-zA-Z~].*").fullmatch
_OWN_HEADERS = (b"[ad", b"[ublock")  # `[Adblock Plus 2.0]`
_BADFILTER = b"badfilter"


def read(content: Content, out: Collector) -> None:
    """Collect every line. A bare name, and a hosts line, mean what they mean elsewhere."""
    disabled = _disabled(content) if content.contains(_BADFILTER) else frozenset()
    lines = content.lines(out) if disabled else content.lines_but(_PLAIN_RULES, out)
    for line in lines:
        text = line.strip()
        if not text or _COMMENT(text):
            continue
        if disabled and (_disables(text) or _identity(text) in disabled):
            out.refuse(Reason.OVERRULED)
        elif (rule := _RULE(text)) is not None:
            _read_domain_rule(rule, out)
        elif _COSMETIC(text):
            out.refuse(Reason.COSMETIC)
        elif not _HEADER(text):
            _read_other(tokens_of(text), out)
        elif is_section(text) and not text.lower().startswith(_OWN_HEADERS):
            out.refuse(Reason.UNKNOWN_LINE)
    out.rank()


def _disabled(content: Content) -> frozenset[bytes]:
    """What `$badfilter` rules disable: each rule that is the same but for that modifier, wherever in the list it stands."""
    lines = (line.strip() for line in content.lines(Collector()))
    return frozenset(_identity(line) for line in lines if not _COMMENT(line) and _disables(line))


def _disables(rule: bytes) -> bool:
    """Whether `rule`, without white space around it, has the modifier `badfilter`."""
    at = rule.find(b"$", 1)
    return at > 0 and _BADFILTER_MODIFIER(rule, at) is not None and len(rule.split(maxsplit=1)) == 1


def _identity(rule: bytes) -> bytes:
    """The same for rules that mean the same, `$badfilter` aside: modifiers may be in any order."""
    pattern, _, modifiers = rule.lower().partition(b"$")
    return pattern + b"$" + b",".join(sorted(set(modifiers.split(b",")) - {_BADFILTER, b""}))


def _read_domain_rule(rule: re.Match[bytes], out: Collector) -> None:
    allow, name, separator, text = rule.groups()
    modifiers = text.lower().split(b",") if text is not None else []
    if not _WHOLE_DOMAIN.issuperset(modifiers):
        out.refuse(Reason.MODIFIER)
    elif separator is None and name.endswith((b".", b"*")):
        out.refuse(Reason.PATTERN)  # `||ads.` begins any number of names
    else:
        out.add(name, allow=allow is not None, important=b"important" in modifiers)


def _read_other(tokens: list[bytes], out: Collector) -> None:
    if len(tokens) != 1:
        _read_words(tokens, out)
        return
    text = tokens[0]
    if (rule := _RULE(text)) is not None:
        _read_domain_rule(rule, out)  # it had a comment behind it
    elif _REGEX(text):
        out.refuse(Reason.REGEX)
    elif text.startswith((b"|", b"@@")) or b"^" in text:
        out.refuse(_reason_of_part(text.removeprefix(b"@@").lstrip(b"|").partition(b"$")[0]))
    elif _MODIFIED(text):
        out.refuse(Reason.MODIFIER)
    else:
        out.add(text)


def _reason_of_part(address: bytes) -> Reason:
    """Why a rule about `address`, a part of a URL, lists nothing."""
    _, scheme, rest = address.rpartition(b"://")
    if b"/" in rest:
        return Reason.URL_WITH_PATH
    return Reason.URL if scheme else Reason.UNSUPPORTED_RULE


def _read_words(tokens: list[bytes], out: Collector) -> None:
    if tokens and tokens[0].startswith((b"|", b"@@")):
        out.refuse(Reason.EXTRA_TEXT)
    elif tokens:
        hosts.read_tokens(tokens, out)
