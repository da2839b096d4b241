"""Encrypted transports in the demo: listeners, and clients that verify their certificate."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import h2.config
import h2.connection
import h2.events

from pdns.demo.certificates import CERTIFICATE, KEY
from pdns.errors import PdnsError
from pdns.wire import protocol as p
from pdns.wire.framing import frame
from pdns.wire.message import build_query, parse_message
from pdns.wire.names import from_text

SERVER_NAME = "localhost"
_CHUNK_BYTES = 65536
_ANSWER_WITHIN_S = 10.0


def listeners(tls_port: int, https_port: int) -> str:
    """The TOML of both listeners, with the files of `certificates.self_signed` beside it."""
    return "".join(
        f"""
[[listener]]
transport = "{transport}"
listen = ["127.0.0.1:{port}"]
cert_file = "{CERTIFICATE}"
key_file = "{KEY}"
"""
        for transport, port in (("tls", tls_port), ("https", https_port))
    )


async def ask_encrypted(transport: str, port: int, name: str, directory: Path) -> int:
    """The response code for the A record of `name`, asked over "tls" or "https". Raises `OSError` and `PdnsError`."""
    question = from_text(name) + p.A.to_bytes(2, "big") + p.CLASS_IN.to_bytes(2, "big")
    query = build_query(0, question, do=False, cd=False)
    context = ssl.create_default_context(cafile=directory / CERTIFICATE)
    context.set_alpn_protocols(["h2" if transport == "https" else "dot"])
    async with asyncio.timeout(_ANSWER_WITHIN_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=SERVER_NAME)
        try:
            answer = await (_over_https if transport == "https" else _over_tls)(query, reader, writer)
        finally:
            writer.close()
    return parse_message(answer).rcode


async def _over_tls(query: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(frame(query))
    size = int.from_bytes(await reader.readexactly(2), "big")
    return await reader.readexactly(size)


async def _over_https(query: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    http.initiate_connection()
    kind = "application/dns-message"
    headers = [
        (":method", "POST"), (":scheme", "https"), (":authority", SERVER_NAME), (":path", "/dns-query"),
        ("content-type", kind), ("accept", kind), ("content-length", str(len(query))),
    ]  # fmt: skip
    http.send_headers(1, headers)
    http.send_data(1, query, end_stream=True)
    answer = b""
    while True:
        writer.write(http.data_to_send())
        if not (data := await reader.read(_CHUNK_BYTES)):
            raise PdnsError("the server closed the connection over HTTPS")
        for event in http.receive_data(data):
            match event:
                case h2.events.DataReceived(data=part):
                    answer += part
                case h2.events.StreamEnded():
                    return answer
                case h2.events.StreamReset() | h2.events.ConnectionTerminated():
                    raise PdnsError("the server gave no answer over HTTPS")
