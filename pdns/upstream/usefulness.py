"""What one upstream is good for: what became of the questions that clients had. No clock: time is an argument."""

from __future__ import annotations

from collections import Counter

_GOOD_KEEPS = 0.75  # of the share that was not good
_SERVFAIL_KEEPS, _REFUSED_KEEPS = 0.875, 0.75  # of the good share, when another upstream answered the same question well
_UNPROVEN_KEEPS_MORE = 0.5
_LEAST_SHARE = 0.3  # so that four good answers always bring it back
_USELESS_BELOW, _USEFUL_ABOVE = 0.5, 0.75
_CLEAN_FROM = 0.9
_DOMAINS = 32
_FIRST_PAUSE_S, _MAX_PAUSE_S = 1.0, 5.0
_PAUSE_AFTER_GOOD_S = 0.1
_PAUSE_AFTER_BAD_S = 0.25  # while it is not known for useless


class Usefulness:
    """A share of good answers, in which the last few count most. Answers to probes do not count.

    A domain (the last two labels of a name) counts once as bad until the share is good again: domains whose own servers are
    broken exist everywhere. A bad answer counts twice when another upstream answered the same question well.
    """

    __slots__ = ("_domains", "_pause_s", "_tried_s", "bad_kinds", "in_doubt", "share", "useful")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Know nothing of it: it is believed to be useful, and has to show it."""
        self.useful = True
        self.share = 1.0
        self.in_doubt = True  # it has not answered well, or has answered badly since
        self.bad_kinds: Counter[str] = Counter()  # since it last was clean
        self._domains: list[bytes] = []
        self._tried_s = 0.0
        self._pause_s = 0.0

    def good(self, count: int = 1) -> bool:
        """It answered so many questions well. True when that made it useful again."""
        if self.share == 1.0:
            self.in_doubt = False
            return False
        self.share = 1.0 - (1.0 - self.share) * _GOOD_KEEPS ** min(count, 32)
        if self.share >= _CLEAN_FROM:
            self._domains.clear()
            self.bad_kinds.clear()
            if self.share > 0.999:  # as good as all
                self.share = 1.0
        self.in_doubt = self.share < _CLEAN_FROM
        self._pause_s = _PAUSE_AFTER_GOOD_S
        if self.useful or self.share <= _USEFUL_ABOVE:
            return False
        self.useful = True
        self.bad_kinds.clear()
        return True

    def bad(self, kind: str, domain: bytes, *, proven: bool) -> bool:
        """It answered a question below `domain` with `kind`, or not at all; `proven`: another one did answer it well. True when
        that made it useless.
        """
        if domain in self._domains:
            return False
        self._domains.append(domain)
        del self._domains[:-_DOMAINS]
        self.bad_kinds[kind] += 1
        if kind != "timeout" and self.useful:
            self._pause_s = min(self._pause_s, _PAUSE_AFTER_BAD_S)
        keeps = _SERVFAIL_KEEPS if kind in ("servfail", "timeout") else _REFUSED_KEEPS
        if not proven:
            keeps += (1.0 - keeps) * _UNPROVEN_KEEPS_MORE
        self.share = max(self.share * keeps, _LEAST_SHARE)
        self.in_doubt = self.in_doubt or self.share < _CLEAN_FROM
        if not self.useful or self.share >= _USELESS_BELOW:
            return False
        self.useful = False
        return True

    def take_turn(self, now: float) -> bool:
        """Whether a question may be spent on finding out: one a second, then fewer; more after an answer that tells something."""
        if now < self._tried_s + self._pause_s:
            return False
        self._tried_s = now
        self._pause_s = min(max(self._pause_s * 2, _FIRST_PAUSE_S), _MAX_PAUSE_S)
        return True
