"""Which sinks a tap can send to, and how much is copied for samples."""

from __future__ import annotations

from pdns.config.schema import Config


def sample_every(config: Config) -> int:
    """Every how many queries a worker copies one, so that each sink can have its share; 0: none."""
    largest = max((sink.sample for sink in config.sink), default=0.0)
    return int(1 / largest + 1e-9) if largest else 0


def refusal_of_tap(config: Config, sink: str) -> str:
    """Why queries cannot be sent to `sink`; "" if they can."""
    if not config.events.enabled:
        return "events.enabled = false: nothing is sent to sinks"
    names = [one.name for one in config.sink if one.kind == "dnstap"]
    if sink in names:
        return ""
    return f"no dnstap sink {sink}; dnstap sinks: {', '.join(names) or 'none are configured'}"
