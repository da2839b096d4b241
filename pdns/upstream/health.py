"""How well one upstream does: round-trip time, failures, whether to ask it at all. No clock: time is an argument."""

from __future__ import annotations

MIN_RTO_S, MAX_RTO_S = 0.4, 1.5  # an upstream that recurses needs a moment: asking twice would double its work
_FIRST_RTO_S = 0.8
_FAILURES_TO_GO_DOWN = 3
_FAILURE_INTERVAL_S = 0.1  # what fails together is one failure
_PROBE_INTERVAL_S = 1.0  # at least, of one that is up
_FIRST_BACKOFF_S, _MAX_BACKOFF_S = 1.0, 30.0
_UNKNOWN_COSTS_S = 0.5  # of one that never answered
_AVOIDED_COSTS_S = 1.0  # on top of its round-trip time
_FIRST_AVOIDED_S, _MAX_AVOIDED_S = 5.0, 60.0
NEVER = float("inf")


class Health:
    """Smoothed as RFC 6298 does; each sample is sound, as every query has an id of its own (no Karn ambiguity)."""

    __slots__ = (
        "_answered_s", "_avoided_s", "_avoided_until_s", "_backoff_s", "_failed_s", "_probed_s", "_rttvar_s", "_silent_domains",
        "failures", "probe_at_s", "srtt_s", "up",
    )  # fmt: skip

    def __init__(self) -> None:
        self.up = True
        self.failures = 0  # consecutive questions, or probes, left without an answer
        self.srtt_s: float | None = None  # None: never answered
        self.probe_at_s = NEVER
        self._rttvar_s = 0.0
        self._avoided_s = 0.0
        self._avoided_until_s = 0.0
        self._backoff_s = _FIRST_BACKOFF_S
        self._probed_s = -NEVER
        self._answered_s = -NEVER
        self._failed_s = -NEVER
        self._silent_domains: list[bytes] = []  # since the last answer

    def sampled(self, rtt_s: float) -> None:
        """A useful answer took `rtt_s`."""
        if self.srtt_s is None:
            self.srtt_s, self._rttvar_s = rtt_s, rtt_s / 2
        else:
            self._rttvar_s += (abs(self.srtt_s - rtt_s) - self._rttvar_s) / 4
            self.srtt_s += (rtt_s - self.srtt_s) / 8
        self._avoided_s = 0.0

    def answered(self, now: float) -> bool:
        """It gave a valid answer of any rcode. True when that brought it up."""
        self._answered_s = now
        came_up = not self.up
        if came_up:
            self.up = True
            self._avoided_until_s = 0.0
        self.failures = 0
        self._silent_domains.clear()
        self.probe_at_s = NEVER
        return came_up

    def failed(self, sent_s: float, now: float, *, domain: bytes = b"", probe: bool = False) -> bool:
        """A question, or a probe, sent at `sent_s` was left without an answer. True when that brought it down.

        With a `domain` the upstream was silent, which may be due to the name: such a domain fails once until something is
        answered, however many of its names are asked for. Without one the upstream could not be reached: each question counts.

        It is no failure if anything else was answered since: some names are slow everywhere. A failure asks for a probe: one that
        is well answers it, and stays up; one that is dead is known for dead within seconds, although most questions go elsewhere
        after its first failure.
        """
        if self._answered_s >= sent_s or (now - self._failed_s < _FAILURE_INTERVAL_S and not probe):
            return False
        if domain and self.up:
            if domain in self._silent_domains:
                return False
            self._silent_domains.append(domain)
        self._failed_s = now
        self.failures += 1
        self.avoid(now)
        if not self.up:
            if probe:
                self._backoff_s = min(self._backoff_s * 2, _MAX_BACKOFF_S)
                self.probe_at_s = now + self._backoff_s
            return False
        if self.failures >= _FAILURES_TO_GO_DOWN:
            self.up = False
            self._backoff_s = _FIRST_BACKOFF_S
            self.probe_at_s = now + self._backoff_s
            return True
        self.probe_at_s = max(now, self._probed_s + _PROBE_INTERVAL_S)
        return False

    def probed(self, now: float) -> None:
        """A probe was sent."""
        self._probed_s = now

    def probe_later(self, now: float) -> None:
        """A probe could not be sent: that says nothing of the upstream."""
        self.probe_at_s = now + _FIRST_BACKOFF_S

    def avoid(self, now: float) -> None:
        """It failed with a question, by silence or by an error where another had an answer: others come first for a while."""
        if now >= self._avoided_until_s:
            self._avoided_s = min(max(self._avoided_s * 2, _FIRST_AVOIDED_S), _MAX_AVOIDED_S)
            self._avoided_until_s = now + self._avoided_s

    def forgive(self) -> None:
        """It has shown by several answers that it is well: it is no longer avoided."""
        self._avoided_until_s = 0.0

    @property
    def rto_s(self) -> float:
        """How long to wait for an answer before somebody else is asked too."""
        if self.srtt_s is None:
            return _FIRST_RTO_S
        return min(max(self.srtt_s + 4 * self._rttvar_s, MIN_RTO_S), MAX_RTO_S)

    def cost_s(self, now: float) -> float:
        """To choose by, lowest first."""
        return (_UNKNOWN_COSTS_S if self.srtt_s is None else self.srtt_s) + (
            _AVOIDED_COSTS_S if now < self._avoided_until_s else 0.0
        )
