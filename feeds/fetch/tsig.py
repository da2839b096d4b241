"""The key that a zone's primary and we share (RFC 8945)."""

from __future__ import annotations

import base64
import binascii

import dns.exception
import dns.name
import dns.rcode
import dns.tsig

from feeds.fetch.token import read_secret
from pdns.config.schema import Feed
from pdns.errors import FeedError, PdnsError


class InvalidKeyText(PdnsError):
    """Text that is not the secret of a key."""


def key_of(feed: Feed) -> dns.tsig.Key | None:
    """The key that `feed` names, None when it names none. Raises `FeedError`."""
    if not feed.tsig_name:
        return None
    text = read_secret(feed, "tsig_secret_file", feed.tsig_secret_file)
    try:
        return tsig_key(feed.tsig_name, feed.tsig_algorithm, text)
    except InvalidKeyText as exc:
        raise FeedError(feed.name, f"tsig_secret_file = {feed.tsig_secret_file}: {exc}") from None


def tsig_key(name: str, algorithm: str, text: str) -> dns.tsig.Key:
    """The key whose secret is spelt `text`. Raises `InvalidKeyText`."""
    try:
        secret = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not secret:
        raise InvalidKeyText("expected base64, as tsig-keygen prints it")
    return dns.tsig.Key(dns.name.from_text(name), secret, _algorithm(algorithm))


def tsig_reason(exc: dns.exception.DNSException) -> str | None:
    """What a failure that has to do with the key means; None for any other."""
    match exc:
        case dns.tsig.PeerBadKey():
            return "the primary does not know the key tsig_name (BADKEY): compare name and algorithm with its configuration"
        case dns.tsig.PeerBadSignature():
            return "the primary refused our signature (BADSIG): tsig_secret_file is not the secret that it has"
        case dns.tsig.PeerBadTime():
            return "the primary's clock and ours differ too much (BADTIME): set them"
        case dns.tsig.PeerError():
            return f"the primary refused our signature ({exc})"
        case dns.tsig.BadTime():
            return "the answer was signed at another time: the primary's clock and ours differ, or somebody repeats old answers"
        case dns.tsig.BadSignature() | dns.tsig.BadKey() | dns.tsig.BadAlgorithm():
            return "the answer's signature is not by tsig_name with the secret in tsig_secret_file"
    return None


def _algorithm(text: str) -> dns.name.Name:
    return dns.tsig.HMAC_MD5 if text == "hmac-md5" else dns.name.from_text(text)
