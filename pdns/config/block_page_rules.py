"""Rules for `[block_page]`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol, TypeVar

from msgspec.structs import replace

from pdns.config.addresses import Endpoint, parse_endpoint
from pdns.config.schema import BlockPage
from pdns.config.shape import Report

HTTP_PORT: Final = 80
MOST_ADDRESSES: Final = 16

T = TypeVar("T")


class BlockPageRuleContext(Protocol):
    """The part of `pdns.config.rules.RuleContext` that is needed here."""

    report: Report

    def listen(self, endpoint: Endpoint, key: str) -> None: ...
    def parse_all(self, key: str, texts: Iterable[str], parser: Callable[[str], T]) -> dict[T, str]: ...


def settle_block_page(page: BlockPage, around: BlockPageRuleContext) -> BlockPage:
    """`page` with its endpoints in canonical spelling."""
    if len(page.listen) > MOST_ADDRESSES:
        around.report.add("block_page.listen", f"expected at most {MOST_ADDRESSES} addresses, got {len(page.listen)}")
    listen = around.parse_all("block_page.listen", page.listen, lambda text: parse_endpoint(text, HTTP_PORT))
    for endpoint, key in listen.items():
        around.listen(endpoint, key)
    return replace(page, listen=tuple(map(str, listen)))
