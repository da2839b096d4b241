"""What `/metrics` says, as numbers to show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from aiohttp import ClientSession
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from pdns.telemetry.family import PREFIX


class Scrape:
    """One scrape. Families are named without the prefix; one that is not there counts as empty."""

    def __init__(self, text: str) -> None:
        self._samples: dict[str, list[Sample]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                self._samples.setdefault(sample.name.removeprefix(PREFIX), []).append(sample)

    def total(self, family: str, **labels: str) -> float:
        """The sum over all series of `family` that carry `labels`."""
        return sum(sample.value for sample in self._with(family, labels))

    def by(self, family: str, label: str, **labels: str) -> dict[str, float]:
        """Such sums for each value of `label`."""
        sums: dict[str, float] = {}
        for sample in self._with(family, labels):
            value = sample.labels.get(label, "")
            sums[value] = sums.get(value, 0.0) + sample.value
        return sums

    def quantile(self, family: str, q: float) -> float:
        """The `q`-quantile of a histogram over all its series, by straight lines inside buckets; 0.0 when it is empty."""
        return of_buckets(sorted((float(bound), count) for bound, count in self.by(f"{family}_bucket", "le").items()), q)

    def _with(self, family: str, labels: Mapping[str, str]) -> Iterator[Sample]:
        for sample in self._samples.get(family, ()):
            if all(sample.labels.get(label) == value for label, value in labels.items()):
                yield sample


def of_buckets(buckets: list[tuple[float, float]], q: float) -> float:
    """The `q`-quantile of a histogram: each upper bound with how many are at most that, the last bound infinite."""
    if not buckets or not buckets[-1][1]:
        return 0.0
    rank = q * buckets[-1][1]
    lower, below = 0.0, 0.0
    for bound, count in buckets:
        if count >= rank:
            if bound == float("inf"):
                return lower
            return lower + (bound - lower) * (rank - below) / (count - below)
        lower, below = bound, count
    return lower


async def scrape(session: ClientSession, url: str) -> Scrape:
    """Reads `url` now. Raises `aiohttp.ClientError` or `TimeoutError`."""
    async with session.get(url) as response:
        response.raise_for_status()
        return Scrape(await response.text())
