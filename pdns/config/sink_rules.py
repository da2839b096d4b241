"""Rules for `[[sink]]`: which keys each kind has. Paths and addresses are returned in canonical spelling."""

from __future__ import annotations

import os
import re
import ssl
import stat
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import urlsplit

from msgspec.structs import fields, replace

from pdns.config import addresses
from pdns.config.credentials import secret_path
from pdns.config.feed_rules import check_authority
from pdns.config.policy_rules import RESERVED_TENANTS
from pdns.config.shape import Report, meant, show
from pdns.config.sink_schema import SinkSection
from pdns.errors import InvalidAddress

T = TypeVar("T")
MOST_SINKS: Final = 32
RESERVED_SINKS: Final = ("sqlite", "store")  # the store that is always there
SYSLOG_PORTS: Final = {"udp": 514, "tcp": 601, "tls": 6514}  # RFC 5426, RFC 6587, RFC 5425
DNSTAP_PORT: Final = 6000
LEAST_SAMPLE: Final = 1e-6
_COMMON: Final = ("name", "kind", "records", "findings", "tenants", "timeout_s")
_TLS: Final = ("ca_file", "client_cert_file", "client_key_file")
_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "file": ("path", "format", "max_bytes", "max_files"),
    "syslog": ("address", "transport", "format", "facility", "confirm", *_TLS),
    "dnstap": ("path", "address", "sample"),
    "webhook": ("url", "secret_file", "format", *_TLS),
    "clickhouse": ("url", "database", "user", "password_file", "ttl_days", *_TLS),
}
_DATABASE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_PATHS: Final = ("path", "secret_file", "password_file", *_TLS)
_DEFAULTS: Final = {field.name: field.default for field in fields(SinkSection)}


class SinkRuleContext(Protocol):
    """The part of `pdns.config.rules.RuleContext` that is needed here."""

    report: Report
    directory: Path
    tenants: Collection[str] | None

    def parse(self, key: str, text: str, parser: Callable[[str], T]) -> T | None: ...
    def canonical(self, key: str, texts: Iterable[str], parser: Callable[[str], object]) -> tuple[str, ...]: ...
    def file(self, key: str, text: str) -> Path | None: ...


def settle_sinks(sinks: tuple[SinkSection, ...], around: SinkRuleContext) -> tuple[SinkSection, ...]:
    """`sinks` in canonical form. Broken rules are reported."""
    if len(sinks) > MOST_SINKS:
        around.report.add("sink", f"expected at most {MOST_SINKS}, got {len(sinks)}")
        return ()
    names: dict[str, int] = {}
    files: dict[str, int] = {}
    settled = []
    for index, sink in enumerate(sinks):
        if (first := names.setdefault(sink.name, index)) != index:
            around.report.add(f"sink[{index}].name", f'"{sink.name}" is already sink[{first}]')
        if sink.name in RESERVED_SINKS:
            around.report.add(f"sink[{index}].name", f'"{sink.name}" is reserved; choose another')
        settled.append(_settle(sink, f"sink[{index}]", around))
        if sink.kind == "file" and (first := files.setdefault(settled[-1].path, index)) != index:
            around.report.add(f"sink[{index}].path", f"{settled[-1].path} is already the file of sink[{first}]")
    return tuple(settled)


def parse_destination(text: str, default_port: int) -> addresses.Endpoint:
    """The host and port spelt `siem.example`, `siem.example:601`, `192.0.2.1:601` or `[2001:db8::1]:601`."""
    host, colon, port = text.rpartition(":")
    if not colon or "]" in port or (":" in host and not host.startswith("[")):
        host, port = text, str(default_port)
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) <= 65535):
        raise InvalidAddress("expected a port from 1 to 65535")
    return addresses.Endpoint(addresses.parse_host(host), int(port))


def _settle(sink: SinkSection, at: str, around: SinkRuleContext) -> SinkSection:
    keys = _KEYS[sink.kind]
    for key, default in _DEFAULTS.items():
        if key not in (*_COMMON, *keys) and getattr(sink, key) != default:
            kinds = " or ".join(f'"{kind}"' for kind, known in _KEYS.items() if key in known)
            around.report.add(f"{at}.{key}", f'only for kind = {kinds}, not "{sink.kind}"')
            sink = replace(sink, **{key: default})
    settled: dict[str, Any] = {}
    for key in _PATHS:
        if text := getattr(sink, key):
            parser = addresses.absolute_path if key == "path" else secret_path
            path = around.parse(f"{at}.{key}", text, partial(parser, directory=around.directory))
            settled[key] = str(path or "")
    if sink.kind == "file" and settled.get("path"):
        directory, name = os.path.split(settled["path"])
        settled["path"] = os.path.join(os.path.realpath(directory), name)  # noqa: PTH118 (below it no link is followed)
    settled["address"] = _address(sink, at, around) if sink.address else ""
    sink = replace(sink, **settled)
    _check_kind(sink, at, around)
    _check_tls(sink, at, around)
    for number, tenant in enumerate(sink.tenants):
        if around.tenants is not None and tenant not in (*around.tenants, *RESERVED_TENANTS):
            hint = meant(tenant, sorted(around.tenants))
            around.report.add(f"{at}.tenants[{number}]", f"no [[tenant]] has this name, got {show(tenant)}{hint}")
    if sink.findings and sink.records and "findings" not in sink.records:
        around.report.add(f"{at}.findings", 'needs "findings" in records')
    return sink


def _address(sink: SinkSection, at: str, around: SinkRuleContext) -> str:
    port = SYSLOG_PORTS[sink.transport] if sink.kind == "syslog" else DNSTAP_PORT
    return str(around.parse(f"{at}.address", sink.address, lambda text: parse_destination(text, port)) or "")


def _check_kind(sink: SinkSection, at: str, around: SinkRuleContext) -> None:
    add = around.report.add
    match sink.kind:
        case "file":
            if not sink.path:
                add(f"{at}.path", "required: the file to write")
            elif os.path.lexists(sink.path) and not stat.S_ISREG(os.lstat(sink.path).st_mode):
                add(f"{at}.path", f"expected a regular file, got {show(sink.path)}")
            if sink.format == "cef":
                add(f"{at}.format", 'expected "ocsf" or "ecs", which are JSON, got "cef"')
        case "syslog":
            if not sink.address:
                add(f"{at}.address", "required: the host and port of the syslog server")
            if sink.transport == "udp" and not sink.confirm:
                add(f"{at}.confirm", 'only for transport = "tcp" or "tls": over UDP nothing is confirmed')
            if sink.transport != "tls" and any(getattr(sink, key) for key in _TLS):
                add(f"{at}.transport", 'expected "tls" with a certificate')
        case "dnstap":
            if bool(sink.path) == bool(sink.address):
                add(at, "expected one of path, a Unix socket, and address, a host and port")
            for number, records in enumerate(sink.records):
                if records not in ("blocked", "monitored"):
                    add(f"{at}.records[{number}]", f'expected "blocked" or "monitored": dnstap has queries only, got "{records}"')
            if sink.findings:
                add(f"{at}.findings", "dnstap has queries only")
            if 0 < sink.sample < LEAST_SAMPLE:
                add(f"{at}.sample", f"expected 0, or {LEAST_SAMPLE:g} to 1, got {sink.sample:g}")
        case _:
            if not sink.url:
                add(f"{at}.url", "required")
            else:
                has_secret = sink.kind == "webhook" or bool(sink.password_file)
                around.parse(f"{at}.url", sink.url, _encrypted if has_secret else addresses.parse_web)
            if not _DATABASE.fullmatch(sink.database):
                expected = "expected at most 63 letters, digits and underscores, not a digit first"
                add(f"{at}.database", f"{expected}, got {show(sink.database)}")
            if sink.kind == "webhook" and sink.format == "cef":
                add(f"{at}.format", 'expected "ocsf" or "ecs", which are JSON, got "cef"')
            for key in ("secret_file", "password_file"):
                if getattr(sink, key):
                    around.file(f"{at}.{key}", getattr(sink, key))


def _encrypted(text: str) -> str:
    """A URL whose requests cannot be read on the way. Raises `InvalidAddress`."""
    parts = urlsplit(addresses.parse_web(text))
    if parts.scheme.lower() != "https" and parts.hostname not in _LOOPBACK:
        raise InvalidAddress("expected https, because records and secrets would be sent unencrypted")
    return text


def _check_tls(sink: SinkSection, at: str, around: SinkRuleContext) -> None:
    if sink.client_key_file and not sink.client_cert_file:
        around.report.add(f"{at}.client_key_file", "needs client_cert_file beside it")
    if sink.ca_file:
        check_authority(sink.ca_file, f"{at}.ca_file", sink.ca_file, around)
    if not sink.client_cert_file or around.file(f"{at}.client_cert_file", sink.client_cert_file) is None:
        return
    if sink.client_key_file and around.file(f"{at}.client_key_file", sink.client_key_file) is None:
        return
    try:
        client_context(sink)
    except (OSError, ValueError) as error:  # of which ssl.SSLError is one
        why = str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error)
        around.report.add(f"{at}.client_cert_file", f"cannot be used: {why.lower().replace('_', ' ')}")


def client_context(sink: SinkSection) -> ssl.SSLContext:
    """A TLS context to reach a sink with its authority and its client certificate. Raises `OSError` and `ValueError`."""
    context = ssl.create_default_context(cafile=sink.ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # as for upstreams: private authorities often lack what Python 3.13 asks for
    if sink.client_cert_file:
        context.load_cert_chain(sink.client_cert_file, sink.client_key_file or None, password=lambda: b"")
    return context
