"""Rules for what blocked clients are told about who filters."""

from __future__ import annotations

import re
from typing import Final

from pdns.config.shape import Report, show

MAX_ORGANISATION_CHARACTERS: Final = 100
MAX_CONTACTS: Final = 3
MAX_CONTACT_CHARACTERS: Final = 100
_CONTACT: Final = re.compile(r"(?:mailto:[!-~]+@[!-~]+|tel:\+?[0-9()*#.-]+)")
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*")


def check_operator(key: str, organisation: str, contact: tuple[str, ...], language: str, report: Report) -> None:
    """Report what of the keys `organisation`, `contact` and `language` of the section `key` is not valid."""
    if len(organisation) > MAX_ORGANISATION_CHARACTERS or not organisation.isprintable():
        report.add(
            f"{key}.organisation",
            f"expected at most {MAX_ORGANISATION_CHARACTERS} visible characters on one line, got {show(organisation)}",
        )
    if len(contact) > MAX_CONTACTS:
        report.add(f"{key}.contact", f"expected at most {MAX_CONTACTS} URIs, got {len(contact)}")
    for index, uri in enumerate(contact):
        if not _CONTACT.fullmatch(uri) or len(uri) > MAX_CONTACT_CHARACTERS:
            report.add(
                f"{key}.contact[{index}]",
                f"expected mailto:ADDRESS or tel:NUMBER in at most {MAX_CONTACT_CHARACTERS} ASCII characters, got {show(uri)}",
            )
    if not _LANGUAGE.fullmatch(language) or len(language) > 35:  # RFC 5646, 4.4.1
        report.add(f"{key}.language", f'expected a language tag such as "en" or "cy" (RFC 5646), got {show(language)}')
