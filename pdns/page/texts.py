"""The words of the block page: for each category why a name is blocked and what to do; and the texts of the tenant.

The reader is a member of staff who is not technical and may be worried.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final, NamedTuple

from pdns.core.clients import Client
from pdns.core.local_rules import LOCAL
from pdns.core.ruleset import RuleSet

HELP: Final = "your IT help desk"


class PageTexts(NamedTuple):
    """The texts of one tenant. All may be empty."""

    organisation: str = ""
    contact: tuple[str, ...] = ()  # URIs: mailto:, tel:, https:
    page_text: str = ""  # paragraphs, with an empty line between them
    language: str = "en"  # of `page_text`
    help_url: str = ""


class CategoryText(NamedTuple):
    """What a category means. `{help}` stands for the people to call."""

    label: str
    why: str
    steps: tuple[str, ...]
    urgent: bool = False  # the computer may be infected
    dangerous: bool = True


_CLOSE: Final = "Close this tab. You can go on with your work."
_CALL: Final = "If you opened or downloaded something from this website before, tell {help} now."
_INFECTED_STEPS: Final = (
    "Tell {help} now, also if you did not open this website yourself. Give them the details on this page.",
    "Do not type in passwords on this computer until you have an answer.",
    "Leave the computer switched on, so that they can look at it.",
)
_NOT_DANGEROUS_STEPS: Final = (_CLOSE, "If you need this website for your work, report a mistake below or ask {help}.")

CATEGORY_TEXTS: Final = MappingProxyType({
    "malware": CategoryText(
        "Harmful software (malware)",
        "It is known to spread harmful software, which can damage or lock files and spy on a computer.",
        (_CLOSE, _CALL),
    ),
    "phishing": CategoryText(
        "Phishing",
        "It is known to imitate an organisation that people trust, to steal passwords or bank details.",
        (
            "Close this tab. Do not use the link again that brought you here, and do not pass it on.",
            "If you typed in a password or bank details on a page that looked wrong, tell {help} now, and change that password.",
        ),
    ),
    "c2": CategoryText(
        "Control of infected computers",
        "Criminals use it to control infected computers. A program on this computer may have tried to reach it.",
        _INFECTED_STEPS,
        urgent=True,
    ),
    "botnet": CategoryText(
        "Network of infected computers (botnet)",
        "Infected computers use it to contact each other. A program on this computer may have tried to reach it.",
        _INFECTED_STEPS,
        urgent=True,
    ),
    "dga": CategoryText(
        "Address made up by harmful software",
        "Its name is one that harmful software makes up. A program on this computer may have tried to reach it.",
        _INFECTED_STEPS,
        urgent=True,
    ),
    "cryptojacking": CategoryText(
        "Hidden use of computers",
        "It is known to use other people's computers in secret to make money, which makes them slow.",
        (_CLOSE, _CALL),
    ),
    "scam": CategoryText(
        "Fraud",
        "It is known for fraud, such as shops that do not deliver, false invoices or false support.",
        (_CLOSE, "If you paid or gave bank details on this website, tell your bank and {help} now."),
    ),
    "new": CategoryText(
        "Very new website",
        "It is only a few days old. Most new websites are harmless, but many attacks use new ones.",
        (_CLOSE, "If you need this website for your work, try again in a few days, report a mistake below or ask {help}."),
    ),
    "policy": CategoryText(
        "Not allowed here",
        "Your organisation does not allow websites of this kind on its network. It need not be dangerous.",
        _NOT_DANGEROUS_STEPS,
        dangerous=False,
    ),
    "ads": CategoryText(
        "Advertising",
        "It delivers advertisements, which your organisation blocks. It need not be dangerous.",
        _NOT_DANGEROUS_STEPS,
        dangerous=False,
    ),
    "tracking": CategoryText(
        "Tracking",
        "It records what people do on the web, which your organisation blocks. It need not be dangerous.",
        _NOT_DANGEROUS_STEPS,
        dangerous=False,
    ),
    LOCAL: CategoryText(
        "Blocked by your administrators",
        "The people who look after your network have blocked it.",
        (_CLOSE, "If you need this website for your work, report a mistake below or ask {help}."),
        dangerous=False,
    ),
})  # fmt: skip
_OTHER: Final = CategoryText("Unsafe website", "It is on a list of websites that are unsafe.", (_CLOSE, _CALL))


def category_text(category: str) -> CategoryText:
    """The words for a category, also for one that this version does not know."""
    return CATEGORY_TEXTS.get(category, _OTHER)


def page_texts(rules: RuleSet, client: Client) -> PageTexts:
    """The texts for a client, from the settings of its policy and the name of its tenant."""
    settings = rules.policy.settings(client.policy)
    tenant = next((tenant for tenant in rules.config.tenant if tenant.name == client.tenant), None)
    names = () if tenant is None else (tenant.display_name, settings.organisation, tenant.name)
    return PageTexts(
        organisation=next(filter(None, names), settings.organisation),
        contact=settings.contact,
        page_text=settings.page_text,
        language=settings.language or "en",
        help_url=settings.help_url,
    )
