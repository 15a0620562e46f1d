"""German and English: texts of pages, and which of the two a visitor reads."""

import io
from collections.abc import Mapping
from functools import cache
from importlib import resources

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations

LANGUAGES = ("de", "en")
"""The first one is for those who read neither, or don't say."""


@cache
def translations(language: str) -> NullTranslations:
    """The texts of a language; English stands in the pages themselves."""
    if language == "en":
        return NullTranslations()
    text = resources.files("smpki.service.portal").joinpath("locale", f"{language}.po").read_bytes()
    compiled = io.BytesIO()
    write_mo(compiled, read_po(io.BytesIO(text), locale=language))
    compiled.seek(0)
    return Translations(compiled)


def chosen(cookie: str | None, accept_language: str) -> str:
    """The language of a visitor: what it chose, or what its browser prefers (RFC 9110 12.5.4).

    :param cookie: what it chose on a page before
    :param accept_language: the request's header field
    """
    if cookie in LANGUAGES:
        return str(cookie)
    wishes = sorted(_wishes(accept_language).items(), key=lambda wish: -wish[1])
    return next((tag for tag, weight in wishes if tag in LANGUAGES and weight > 0), LANGUAGES[0])


def _wishes(field: str) -> Mapping[str, float]:
    """Primary language tags and how much they are wanted."""
    found: dict[str, float] = {}
    for part in field[:1000].split(","):
        tag, _, weight = part.partition(";")
        try:
            value = float(weight.partition("=")[2] or 1)
        except ValueError:
            value = 0
        primary = tag.strip().lower().partition("-")[0]
        found[primary] = max(value, found.get(primary, 0))
    return found
