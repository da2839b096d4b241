"""Reports by mail: the message, and how it is handed to the mail server. Blocks; runs in a thread."""

from __future__ import annotations

import hashlib
import smtplib
from collections.abc import Iterable, Sequence
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import format_datetime, getaddresses, parsedate_to_datetime
from pathlib import Path
from typing import Final

from pdns.config.report_schema import Mail
from pdns.errors import PdnsError
from pdns.files.safe_files import read_bounded
from pdns.net.tls import client_context
from pdns.report.content import ReportContent
from pdns.report.formats import MEDIA_TYPES, ReportFormat, rendered
from pdns.report.sections import heading
from pdns.report.wording import local

_MOST_PASSWORD_BYTES: Final = 4096


class MailError(PdnsError):
    """A message that was not accepted. `str()` says which server, and why. `of_server`: others would not be accepted either."""

    def __init__(self, text: str, *, of_server: bool = True) -> None:
        super().__init__(text)
        self.of_server = of_server


def composed(content: ReportContent, files: Sequence[tuple[ReportFormat, str, bytes]], sender: str, to: Iterable[str]) -> bytes:
    """The message: the report as text, and `files` (form, name, data) attached. The same report makes the same Message-ID."""
    message = EmailMessage(policy=policy.SMTP)
    message["From"], message["To"] = sender, ", ".join(to)
    message["Subject"] = f"Protective DNS report: {heading(content)}"
    message["Date"] = format_datetime(local(content.made_s, content.time_zone))
    key = "\n".join((sender, *message.get_all("To", []), content.tenant, repr(content.start_s), repr(content.end_s)))
    message["Message-ID"] = f"<{hashlib.sha256(key.encode()).hexdigest()[:32]}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no automatic replies
    message.set_content(rendered(content, "text").decode(), cte="quoted-printable")
    for form, name, data in files:
        if form != "text":
            main, _, sub = MEDIA_TYPES[form].partition("/")
            params = {"charset": "utf-8"} if main == "text" else {}
            message.add_attachment(data, maintype=main, subtype=sub, filename=name, params=params)
    return message.as_bytes()


def made_at(data: bytes) -> float:
    """When a message was made, in seconds since the epoch; 0 where it does not say so."""
    headers = BytesParser(policy=policy.SMTP).parsebytes(data, headersonly=True)
    try:
        return parsedate_to_datetime(str(headers["Date"])).timestamp()
    except ValueError:
        return 0.0


def send(mail: Mail, data: bytes) -> list[str]:
    """Hand a message to the server of `[mail]`. Returns the recipients that it refused. Raises `MailError` if it refused all."""
    headers = BytesParser(policy=policy.SMTP).parsebytes(data, headersonly=True)
    to = [address for _, address in getaddresses([str(value) for value in headers.get_all("To", [])])]
    host = mail.host.strip("[]")
    try:
        with _connected(mail, host) as server:
            if mail.user:
                server.login(mail.user, _password(mail))
            return sorted(server.sendmail(mail.sender, to, data))
    except (smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError) as error:
        raise MailError(f"{mail.host}: {_reason(error)}", of_server=False) from None
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise MailError(f"{mail.host}: {_reason(error)}") from None


def _connected(mail: Mail, host: str) -> smtplib.SMTP:
    if mail.tls == "tls":
        return smtplib.SMTP_SSL(host, mail.port, timeout=mail.timeout_s, context=client_context(mail.ca_file))
    server = smtplib.SMTP(host, mail.port, timeout=mail.timeout_s)
    try:
        if mail.tls == "starttls":
            server.starttls(context=client_context(mail.ca_file))  # raises where the server offers none
    except BaseException:
        server.close()
        raise
    return server


def _password(mail: Mail) -> str:
    return read_bounded(Path(mail.password_file), _MOST_PASSWORD_BYTES, follow_links=True).decode().strip("\r\n")


def _reason(error: Exception) -> str:
    match error:
        case smtplib.SMTPResponseException():
            said = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else str(error.smtp_error)
            return f"{error.smtp_code} {' '.join(said.split())[:200]}"
        case smtplib.SMTPRecipientsRefused():
            return f"refused for {', '.join(sorted(error.recipients))}"
        case OSError():
            return str(getattr(error, "verify_message", "") or error.strerror or error)
    return str(error)
