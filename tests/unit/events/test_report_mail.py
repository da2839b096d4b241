"""Reports by mail, with a real mail server: TLS is verified, and the message has the report."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdns.config.report_schema import Mail
from pdns.events.report_mail import MailError, composed, send
from pdns.report.formats import rendered
from tests.unit.events.mailserver import PASSWORD, USER, Mailbox, certificate, mail_server
from tests.unit.report.test_content import report

TO = ("soc@leeds.example", "chief@leeds.example")
SENDER = "pdns@council.example"


def message() -> bytes:
    content = report("leeds")
    return composed(content, [("html", "leeds-2026-11-16.html", rendered(content, "html"))], SENDER, TO)


def mail(port: int, ca_file: Path | None, **keys: object) -> Mail:
    settings: dict[str, object] = {
        "host": "127.0.0.1",
        "port": port,
        "sender": SENDER,
        "ca_file": str(ca_file or ""),
        "timeout_s": 20.0,
    }
    return Mail(**{**settings, **keys})  # type: ignore[arg-type]


def test_starttls_with_a_password(tmp_path: Path) -> None:
    """The message arrives with its text, its attachment and its headers, after STARTTLS and AUTH."""
    pair, mailbox = certificate(tmp_path), Mailbox()
    (tmp_path / "password").write_bytes(PASSWORD + b"\n")
    with mail_server(mailbox, pair) as port:
        keys = {"user": USER.decode(), "password_file": str(tmp_path / "password")}
        assert send(mail(port, pair[0], **keys), message()) == []
    (received,) = mailbox.messages
    assert mailbox.recipients == [list(TO)]
    assert received["Subject"] == "Protective DNS report: Leeds City Council, 16 to 22 November 2026"
    assert received["Auto-Submitted"] == "auto-generated"
    assert received["Message-ID"].endswith("@council.example>")
    body = received.get_body(("plain",))
    assert body is not None
    assert "Machines to look at" in body.get_content()
    (attached,) = received.iter_attachments()
    assert attached.get_filename() == "leeds-2026-11-16.html"
    assert attached.get_content_type() == "text/html"
    assert attached.get_payload(decode=True) == rendered(report("leeds"), "html")
    assert attached.get_content_charset() == "utf-8"


def test_tls_from_the_first_byte(tmp_path: Path) -> None:
    """`tls = "tls"` speaks TLS at once."""
    pair, mailbox = certificate(tmp_path), Mailbox()
    with mail_server(mailbox, pair, starttls=False) as port:
        assert send(mail(port, pair[0], tls="tls"), message()) == []
    assert len(mailbox.messages) == 1


@pytest.mark.parametrize("kind", ["another authority", "another name", "no TLS", "wrong password"])
def test_nothing_is_sent_to_a_server_that_is_not_the_right_one(kind: str, tmp_path: Path) -> None:
    """Without a certificate that is trusted and names the server, no message and no password leaves."""
    pair, mailbox = certificate(tmp_path), Mailbox()
    ca_file, keys = pair[0], {}
    if kind == "another authority":
        (tmp_path / "other").mkdir()
        ca_file = certificate(tmp_path / "other")[0]
    if kind == "another name":
        pair = certificate(tmp_path, "127.0.0.2")
        ca_file = pair[0]
    if kind == "wrong password":
        (tmp_path / "password").write_text("wrong")
        keys = {"user": USER.decode(), "password_file": str(tmp_path / "password")}
    with mail_server(mailbox, None if kind == "no TLS" else pair) as port, pytest.raises(MailError) as caught:
        send(mail(port, ca_file, **keys), message())
    assert str(caught.value).startswith("127.0.0.1: ")
    assert caught.value.of_server
    assert mailbox.messages == []


def test_recipients_that_are_refused(tmp_path: Path) -> None:
    """A refused recipient is named, and the others get the message; if all are refused it is an error of this message."""
    pair, mailbox = certificate(tmp_path), Mailbox()
    mailbox.refused = {TO[1]}
    with mail_server(mailbox, pair) as port:
        assert send(mail(port, pair[0]), message()) == [TO[1]]
        mailbox.refused = set(TO)
        with pytest.raises(MailError, match=r"refused for chief@leeds\.example, soc@leeds\.example") as caught:
            send(mail(port, pair[0]), message())
    assert not caught.value.of_server
    assert len(mailbox.messages) == 1


def test_the_same_report_has_the_same_id() -> None:
    """A message that is sent again is recognised by its Message-ID; another report has another one."""

    def id_of(data: bytes) -> bytes:
        return next(line for line in data.splitlines() if line.lower().startswith(b"message-id"))

    assert id_of(message()) == id_of(message())
    assert id_of(message()) != id_of(composed(report("kirklees"), [], SENDER, TO))
