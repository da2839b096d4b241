"""The HTTP server at the sinkhole address.

Any request may arrive: from a browser that followed a link, from an app, from malware. Only a browser that opens a page gets one;
everything else gets a line. Every answer is an error status and ends its connection: see
`docs/decisions/0050-the-block-page.md`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from aiohttp import web

from pdns.clock import steady_s
from pdns.config.schema import Config
from pdns.errors import InvalidName
from pdns.free_text import FreeTextError, accepted
from pdns.http.server import HttpServer, Problem
from pdns.page import markup
from pdns.page.form_tokens import FormTokens
from pdns.page.lookup import Lookup, SinkholeVisit
from pdns.page.markup import REPORT_PATH, ReportForm
from pdns.page.report_limits import ReportLimits, network_of
from pdns.page.report_queue import QueueFullError, ReportQueue
from pdns.page.requests import Target, form_fields, name_in, target_of, wants_page
from pdns.page.style import CONTENT_SECURITY_POLICY
from pdns.page.texts import HELP
from pdns.page.visits import VisitLog
from pdns.state.reports import MAX_COMMENT_CHARACTERS, MAX_CONTACT_CHARACTERS, MistakeReport, ReportComment
from pdns.telemetry.counters import Counters
from pdns.wire import names

BLOCKED: Final = 403
NOT_BLOCKED: Final = 503
NO_NAME: Final = 404
_MAX_FORM_BYTES: Final = 16384
_BODY_WITHIN_S: Final = 5.0
_log = logging.getLogger(__name__)


class BlockPages:
    """What all servers of the process share: rules, visits, and the reports."""

    def __init__(self, config: Config, lookup: Lookup, queue: ReportQueue, counters: Counters, secret: bytes) -> None:
        page = config.block_page
        self.config = config
        self.lookup = lookup
        self.queue = queue
        self.visits = VisitLog(config, counters)
        self._counters = counters
        self._tokens = FormTokens(secret)
        self._limits = ReportLimits(page.reports_per_hour, page.reports_per_hour_per_client)

    def configure(self, config: Config) -> None:
        """Go by `config` from now on."""
        page = config.block_page
        self.config = config
        self.queue.most = page.max_reports
        self.lookup.configure(config, steady_s())
        self.visits.configure(config)
        self._limits.configure(page.reports_per_hour, page.reports_per_hour_per_client)

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """The answer to any request. Raises `Problem`."""
        target, client = target_of(request), request.remote or ""
        visit = self.lookup.visit(client, target.host)
        if request.method == "POST" and target.path == REPORT_PATH:
            return await self._report(request, target, client)
        self.visits.saw(visit.tenant, visit.feed, visit.category, visit.name, client, request.method[:16])
        status = BLOCKED if visit.is_blocked else NOT_BLOCKED if visit.name else NO_NAME
        if not wants_page(request):
            return _answer(status, "blocked\n" if visit.is_blocked else "not here\n", retry_s=self._retry_s(status))
        if not visit.name:
            return _page(status, markup.no_name_page(visit.texts))
        form = ReportForm(self._token(target, client), name=visit.name)
        if not visit.is_blocked:
            return _page(status, markup.not_blocked_page(visit, form), retry_s=self._retry_s(status))
        return _page(status, markup.blocked_page(visit, form, time.time()))

    def _retry_s(self, status: int) -> int | None:
        """Until then, every cached answer that leads here is over."""
        return max(1, self.config.block.ttl_s) if status == NOT_BLOCKED else None

    def _token(self, target: Target, client: str) -> str:
        return self._tokens.make(target.host, network_of(client), time.monotonic())

    # Reports.

    async def _report(self, request: web.BaseRequest, target: Target, client: str) -> web.Response:
        fields = form_fields(request, await _body(request))
        token = fields.get("token", "")
        form = ReportForm(
            self._token(target, client),
            name=fields.get("name", "")[:1000],
            comment=" ".join(fields.get("comment", "").split()),
            contact=fields.get("contact", "").strip(),
        )
        checked = self._checked(form)
        state = self._tokens.check(token, target.host, network_of(client), time.monotonic())
        if isinstance(checked, ReportForm) or state == "invalid":
            self._count("invalid")
            form = checked if isinstance(checked, ReportForm) else form._replace(
                errors={"": "This form was open for a long time. Please check it and send it again."}
            )  # fmt: skip
            return self._form_again(target, client, form)
        visit = self.lookup.visit(client, names.to_text(checked))
        if state == "used":
            return _page(200, markup.thanks_page(visit, visit.name, self._tokens.number(token)))
        if not self._limits.admits(network_of(client), time.monotonic()):
            self._count("limited")
            text = f"There were too many reports in the last hour, so yours was not taken. Please contact {HELP}."
            return _page(429, markup.refused_page(visit, "Too many reports", text))
        return await self._add(visit, form, client, token)

    def _checked(self, form: ReportForm) -> bytes | ReportForm:
        """The name of a form that is complete; else the form with its errors."""
        errors = {}
        name = b""
        try:
            name = names.from_text(name_in(form.name))
        except InvalidName:
            errors["name"] = "Enter the address of the website, such as www.example.com."
        try:
            if not accepted("comment", form.comment, MAX_COMMENT_CHARACTERS):
                errors["comment"] = "Say in a few words why you need this website."
        except FreeTextError:
            errors["comment"] = f"Use at most {MAX_COMMENT_CHARACTERS} characters, without unusual symbols."
        try:
            contact = accepted("contact", form.contact, MAX_CONTACT_CHARACTERS)
            if contact and (" " in contact or "@" not in contact[1:-1]):
                errors["contact"] = "Enter an e-mail address, such as name@example.com, or leave this field empty."
        except FreeTextError:
            errors["contact"] = "Enter an e-mail address, such as name@example.com, or leave this field empty."
        return form._replace(errors=errors) if errors else name

    def _form_again(self, target: Target, client: str, form: ReportForm) -> web.Response:
        visit = self.lookup.visit(client, target.host)
        if not visit.name:
            return _page(422, markup.no_name_page(visit.texts))
        page = markup.blocked_page(visit, form, time.time()) if visit.is_blocked else markup.not_blocked_page(visit, form)
        return _page(422, page)

    async def _add(self, visit: SinkholeVisit, form: ReportForm, client: str, token: str) -> web.Response:
        now_s = time.time()
        comment = ReportComment(
            text=form.comment, contact=form.contact, client=client if self.config.log.clients else "", at_s=now_s
        )
        report = MistakeReport(
            number=0, name=visit.name, tenant=visit.tenant, feed=visit.feed, category=visit.category, case=visit.case,
            first_s=now_s, last_s=now_s, comments=(comment,),
        )  # fmt: skip
        try:
            added = await self.queue.add(report)
        except (QueueFullError, OSError) as error:
            self._count("full" if isinstance(error, QueueFullError) else "failed")
            reason = str(error) if isinstance(error, QueueFullError) else error.strerror or str(error)
            _log.error("a report about %s could not be kept: %s", visit.name, reason)
            text = f"Your report could not be stored. Please contact {HELP} instead."
            return _page(503, markup.refused_page(visit, "Your report did not arrive", text))
        self._tokens.use(token, added.number)
        self._count("accepted" if added.new else "merged")
        if added.new:
            _log.warning(
                "a mistake is reported: %s, tenant %s, blocked by %s: see pdns reports show %d",
                visit.name, visit.tenant, visit.feed or "no list", added.number,
            )  # fmt: skip
        return _page(200, markup.thanks_page(visit, visit.name, added.number))

    def _count(self, result: str) -> None:
        self._counters.add(1, "reports_total", result)


class BlockPageServer(HttpServer):
    """Answers at one socket."""

    def __init__(self, pages: BlockPages, most: int) -> None:
        super().__init__("block_page", (), tuple, most)
        self._pages = pages

    def check(self, _request: web.BaseRequest) -> None:
        """Every host may be asked for here."""

    async def routed(self, request: web.BaseRequest) -> web.StreamResponse:
        """The same server answers every path."""
        return await self._pages.answer(request)

    def refusal(self, _request: web.BaseRequest, problem: Problem) -> web.Response:
        """Not logged: malware sends anything. Clients are not named without `log.clients`."""
        return self.said(problem)

    def said(self, problem: Problem) -> web.Response:
        """A line of text, after which the connection ends."""
        return _answer(problem.status, f"{problem.text}\n")

    def broken(self, error: BaseException | None) -> None:
        """Not logged, for the same reason."""
        _log.debug("an exchange ended early: %s", type(error).__name__)


async def _body(request: web.BaseRequest) -> bytes:
    if (request.content_length or 0) > _MAX_FORM_BYTES:
        raise Problem(413, "the form is too long")
    try:
        async with asyncio.timeout(_BODY_WITHIN_S):
            body = await request.read()
    except TimeoutError:
        raise Problem(408, "the form did not arrive in time") from None
    if len(body) > _MAX_FORM_BYTES:
        raise Problem(413, "the form is too long")
    return body


def _page(status: int, text: str, *, retry_s: int | None = None) -> web.Response:
    response = _answer(status, text, content_type="text/html", retry_s=retry_s)
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.headers["Content-Language"] = "en"
    return response


def _answer(status: int, text: str, *, content_type: str = "text/plain", retry_s: int | None = None) -> web.Response:
    """Ends its connection: a browser must look the name up again, or it would stay here after the block has ended."""
    response = web.Response(status=status, text=text, content_type=content_type, charset="utf-8")
    response.force_close()
    if retry_s is not None:
        response.headers["Retry-After"] = str(retry_s)
    return response
