"""Fill in the text templates that come with a package."""

from functools import cache

import jinja2

from smpki.policy.text import visible


def render(package: str, template: str, **values: object) -> str:
    """Fill in a template of a package's ``templates`` folder; every value passes through :func:`visible`, and in HTML
    it is escaped.

    :param package: dotted name, such as ``smpki.policy``
    :param template: file name in that folder
    """
    return _environment(package).get_template(template).render(values)


@cache
def _environment(package: str) -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        autoescape=jinja2.select_autoescape(["html"]),  # in plain text, finalize does the same for a terminal
        finalize=lambda value: visible(value) if isinstance(value, str) else value,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
