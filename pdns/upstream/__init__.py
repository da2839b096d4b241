"""Forwarding: asks the configured upstreams, believes only answers that match, and copes with upstreams that fail."""

from __future__ import annotations

from pdns.upstream.exchange import UpstreamAnswer, UpstreamFailure, UpstreamQuestion, UpstreamStats
from pdns.upstream.forwarder import Forwarder

__all__ = ["Forwarder", "UpstreamAnswer", "UpstreamFailure", "UpstreamQuestion", "UpstreamStats"]
