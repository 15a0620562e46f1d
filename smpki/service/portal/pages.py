"""Pages from templates, each in the visitor's language."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import jinja2
from babel.dates import format_date, format_datetime
from babel.support import NullTranslations
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from smpki.errors import SmpkiError
from smpki.policy.text import visible
from smpki.service.accounts.actor import Actor
from smpki.service.portal.explanations import clause_of, meaning_of
from smpki.service.portal.languages import LANGUAGES, translations
from smpki.service.portal.status import told
from smpki.service.portal.visit import Visit
from smpki.service.portal.words import WORDS, menu

_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}


def page(visit: Visit, template: str, answer: int = 200, /, **values: Any) -> Response:
    """Fill in a template.

    Every text is escaped for HTML; control characters, also those that turn the direction of a text, are made visible.
    """
    if isinstance(error := values.get("error"), SmpkiError):
        values["error"] = told(error)
    common = {
        "actor": visit.actor,
        "csrf": visit.csrf,
        "language": visit.language,
        "languages": LANGUAGES,
        "here": visit.request.url.path,
        "query": visit.query,
        "now": visit.site.clock(),
    }
    text = _environment(visit.language).get_template(template).render(common | values)
    return HTMLResponse(text, status_code=answer, headers=_HEADERS)


def refused(visit: Visit, error: SmpkiError, status: int) -> Response:
    """The page that says why something was not done."""
    return page(visit, "refused.html", status, error=error, status=status)


def complaint(visit: Visit, error: SmpkiError) -> str:
    """What an error says, for the line of a page that a script fills in."""
    return _by_code(translations(visit.language), error.code) or told(error).message


@cache
def _environment(language: str) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("smpki.service.portal"),
        extensions=["jinja2.ext.i18n"],
        autoescape=True,
        finalize=lambda value: visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    texts = translations(language)
    environment.install_gettext_translations(texts, newstyle=True)  # type: ignore[attr-defined]
    environment.globals |= {
        "guard": _guard,
        "menu": _menu(texts),
        "word": _word(texts),
        "meaning": _meaning(texts),
        "clause": clause_of,
    }
    environment.filters |= {
        "day": lambda moment: format_date(moment, "medium", locale=language),
        "month": lambda moment: format_date(moment, "LLLL yyyy", locale=language),
        "moment": lambda moment: _with_spaces(f"{format_datetime(moment, 'medium', locale=language)} UTC"),
        "said": lambda finding: texts.gettext(finding.text).format_map(_Shown(finding.values)),
        "complaint": lambda error: _by_code(texts, error.code),
    }
    return environment


def _with_spaces(text: str) -> str:
    """Plain spaces for the narrow ones that Babel writes, which would be made visible."""
    return text.replace("\u202f", " ")


def _menu(texts: NullTranslations) -> Callable[[Actor | None], list[tuple[str, str]]]:
    return lambda actor: [(path, texts.gettext(title)) for path, title in menu(actor)]


def _word(texts: NullTranslations) -> Callable[[str], str]:
    return lambda name: str(texts.gettext(WORDS[name])) if name in WORDS else name


def _meaning(texts: NullTranslations) -> Callable[[str], str]:
    """What the rule of a finding is about; the finding itself says what was found."""

    def meaning(code: str) -> str:
        found = meaning_of(code)
        return str(texts.gettext(found)) if found else ""

    return meaning


@jinja2.pass_context
def _guard(context: jinja2.runtime.Context) -> Markup:
    """The field of a form that shows where it is from."""
    return Markup('<input type="hidden" name="csrf" value="{}">').format(context["csrf"])


class _Shown(dict[str, str]):
    """Values inside a text that was translated; a name that is not there stays as it is."""

    def __init__(self, values: Mapping[str, str]) -> None:
        super().__init__({name: visible(value) for name, value in values.items()})

    def __missing__(self, name: str) -> str:
        return f"{{{name}}}"


def _by_code(texts: NullTranslations, code: str) -> str:
    """What an error says in the language's own words, for its code or those of its kind; empty where it has none."""
    while code:
        translated = str(texts.gettext(f"error {code}"))
        if translated != f"error {code}":
            return translated
        code = code.rpartition(".")[0]
    return ""
