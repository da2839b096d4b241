"""Case references on the command line: from what a user reads out to what was blocked."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console

from pdns.case_lookup import CaseUnknownError, known_cases, the_listed_name
from pdns.cli.commands import load_config
from pdns.config.schema import Config
from pdns.core.case import CaseError, parse
from pdns.state import cases
from pdns.state.cases import Case
from pdns.wire import names


def typed_case(text: str) -> str:
    """The case reference that `text` is, "" where it is more likely a name. Raises `CaseError` for one that is mistyped."""
    try:
        return parse(text)
    except CaseError as error:
        if error.is_mistyped and text.strip()[4:5] in ("-", " "):
            raise
        return ""


def cases_of(case: str, config: Config, errors: Console) -> list[Case]:
    """The known blocks with this reference. Prints what to do where there is none."""
    try:
        return known_cases(case, config)
    except CaseUnknownError as failure:
        errors.print(str(failure), style="red")
    except OSError as failure:
        errors.print(f"cases are unknown: {cases.FILE_NAME} cannot be read: {failure.strerror}", style="red")
    return []


def name_to_allow(text: str, tenant: str, path: Path | None, errors: Console) -> tuple[str, str]:
    """The name that lifts the block of a case, for everyone or a tenant, and its reference; "" twice after printing why not."""
    try:
        case = parse(text)
        config = load_config(path, errors, reads_only=True)
        found = cases_of(case, config, errors) if config is not None else []
        return (the_listed_name(found, config, tenant), case) if config is not None and found else ("", "")
    except (CaseError, CaseUnknownError) as failure:
        errors.print(str(failure), style="red")
        return "", ""


def case_text(case: Case, *, is_listed: bool) -> str:
    """A case in words."""
    first, last = (time.strftime("%Y-%m-%d %H:%M", time.localtime(time_s)) for time_s in (case.first_s, case.last_s))
    text = (
        f"case {case.reference}: {names.to_text(case.listed)} blocked by {case.feed} in policy {case.policy}, "
        f"first {first}, last {last}"
    )
    if is_listed:
        return text
    return f"{text}; {case.feed} does not list this name now: it was removed, or the name leads to a listed address"
