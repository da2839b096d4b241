"""Case references: eight characters that lead from a blocked answer to what was blocked, such as `K7M3-QXP2`.

A reference is computed of the listed name, the feed that decided and the name of the policy, and of nothing else. So the same
block has the same reference in every worker and on every node, and nothing is stored when an answer is given. Seven characters
of Crockford's base 32 carry 35 bits of a hash, the eighth is a check character.
"""

# kernel: pdns/fast/cache.pyx

from __future__ import annotations

from xxhash import xxh128_digest

from pdns.config.policies import DEFAULT_POLICY
from pdns.errors import PdnsError

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford: without I, L, O and U
SALT = b"pdns case\0\0\0\0\0\0\0"
REFERENCE_CHARACTERS = 9
_DIGITS = 7
_DROPPED_BITS = 64 - 5 * _DIGITS
_VALUES = {char: value for value, char in enumerate(ALPHABET)} | {"O": 0, "I": 1, "L": 1}


class CaseError(PdnsError):
    """Text that is no case reference. `is_mistyped`: it looks like one, but the check character is not that of the others."""

    def __init__(self, reason: str, *, is_mistyped: bool) -> None:
        super().__init__(reason)
        self.is_mistyped = is_mistyped


def case_key(feed: str, policy: str = DEFAULT_POLICY) -> int:
    """The part of references that `feed` and the policy decide, 64 bits."""
    return int.from_bytes(xxh128_digest(SALT + policy.encode() + b"\0" + feed.encode())[:8])


def name_key(listed: bytes) -> int:
    """The part that the listed name decides, given in wire form and lower case; 64 bits."""
    return int.from_bytes(xxh128_digest(SALT + listed)[:8])


def reference(listed: bytes, feed: str, policy: str = DEFAULT_POLICY) -> str:
    """The reference of a block: `listed` in wire form and lower case. A rule for what is below a name has that of the name; a
    listed address has that of the name that leads to it.
    """
    return spelt(name_key(listed) ^ case_key(feed, policy))


def spelt(key: int) -> str:
    """The reference that both parts together come to."""
    value = key >> _DROPPED_BITS
    digits = [value >> 5 * at & 31 for at in reversed(range(_DIGITS))]
    text = "".join(ALPHABET[digit] for digit in (*digits, _check(digits)))
    return f"{text[:4]}-{text[4:]}"


def parse(text: str) -> str:
    """The reference that somebody typed, as `reference` spells it: in capitals or not, with or without hyphen and spaces, O for
    0, I and L for 1. Raises `CaseError`.
    """
    plain = "".join(char for char in text.upper() if char not in " -\t")
    digits = [_VALUES[char] for char in plain if char in _VALUES]
    if len(plain) != _DIGITS + 1 or len(digits) != len(plain):
        raise CaseError(f'"{text}" is not a case reference: expected eight characters like K7M3-QXP2', is_mistyped=False)
    if _check(digits[:-1]) != digits[-1]:
        raise CaseError(f'"{text}" is mistyped: its last character does not fit the others', is_mistyped=True)
    plain = "".join(ALPHABET[digit] for digit in digits)
    return f"{plain[:4]}-{plain[4:]}"


def _check(digits: list[int]) -> int:
    """A Reed-Solomon check digit over the field of 32 elements: it finds a wrong character, and any two that changed places."""
    check = 0
    for digit in digits:
        check = _doubled(check) ^ digit
    return _doubled(check)


def _doubled(digit: int) -> int:
    return digit << 1 ^ (0b100101 if digit & 16 else 0)
