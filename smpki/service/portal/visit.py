"""Somebody asks for a page: who it is, in which language, with which form."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from smpki.errors import ServiceError
from smpki.service.accounts.actor import Actor, Role
from smpki.service.portal.csrf import form_token, is_ours
from smpki.service.portal.languages import chosen
from smpki.service.portal.site import Site

SESSION, VISITOR, LANGUAGE = "smpki_session", "smpki_visitor", "smpki_language"
"""Cookies: who is logged in; who is not, for its forms; the language that was chosen."""

_YEAR = 365 * 24 * 3600
LARGEST_FILE = 1024 * 1024
"""Octets of an uploaded file."""

LARGEST_BODY = LARGEST_FILE + 64 * 1024
"""Octets of a request: a file, and the fields beside it."""


@dataclass
class Visit:
    """One request.

    :param form: text fields of the form
    :param files: uploaded files by the field's name; empty ones are not among them
    :ivar cookies: to be set with the answer; ``None`` removes one
    """

    site: Site
    request: Request
    actor: Actor | None
    form: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    cookies: dict[str, str | None] = field(default_factory=dict)

    @cached_property
    def language(self) -> str:
        """``de`` or ``en``."""
        return chosen(self.request.cookies.get(LANGUAGE), self.request.headers.get("accept-language", ""))

    @cached_property
    def secret(self) -> str:
        """What binds forms to this visitor: its session, or a cookie for who is not logged in."""
        found = self.request.cookies.get(SESSION if self.actor else VISITOR)
        if found:
            return found
        self.cookies[VISITOR] = made = secrets.token_urlsafe(32)
        return made

    @property
    def origin(self) -> str:
        """Where the browser finds the portal."""
        return self.site.origin or str(self.request.base_url).rstrip("/")

    @property
    def csrf(self) -> str:
        """The token for a form on the page."""
        return form_token(self.secret)

    @property
    def query(self) -> Mapping[str, str]:
        """What stands behind the question mark."""
        return self.request.query_params

    @property
    def path(self) -> Mapping[str, str]:
        """The parts of the path that the route names."""
        return self.request.path_params

    def need(self, *roles: Role) -> Actor:
        """Who is logged in, in one of these roles.

        :raises ServiceError: ``service.portal.login``; ``service.portal.role``
        """
        if self.actor is None:
            raise ServiceError("service.portal.login", "this page is for those who are logged in", hint="log in")
        if roles and self.actor.role not in roles:
            message = "this page is not for your role"
            raise ServiceError("service.portal.role", message, hint="see the menu for what you may do")
        return self.actor

    def check_form(self) -> None:
        """See that the form came from our own page.

        :raises ServiceError: ``service.portal.form``
        """
        if not is_ours(self.secret, self.form.get("csrf", ""), self.request.headers, self.origin):
            message = "the form is not from a page of this portal, or too old"
            raise ServiceError("service.portal.form", message, hint="open the page again, and send the form from there")

    def go(self, path: str) -> Response:
        """Send the browser to a page, as after a form."""
        return RedirectResponse(path, status_code=303)

    def finish(self, response: Response) -> Response:
        """Set the cookies; and nobody keeps what is one visitor's."""
        response.headers.setdefault("cache-control", "no-store")
        secure = self.origin.startswith("https:")
        for name, value in self.cookies.items():
            if value is None:
                response.delete_cookie(name, secure=secure, httponly=True, samesite="lax")
            else:
                age = _YEAR if name == LANGUAGE else None
                response.set_cookie(name, value, max_age=age, secure=secure, httponly=True, samesite="lax")
        return response


async def read_form(request: Request) -> tuple[dict[str, str], dict[str, bytes]]:
    """The fields and files of a form.

    :raises ServiceError: ``service.portal.file``: a file is too large
    """
    fields: dict[str, str] = {}
    files: dict[str, bytes] = {}
    async with request.form(max_files=2, max_fields=50, max_part_size=LARGEST_BODY + 1) as form:
        for name, value in form.multi_items():
            if not isinstance(value, UploadFile):
                fields[name] = value
            elif content := await value.read(LARGEST_FILE + 1):
                files[name] = content
    for content in files.values():
        if len(content) > LARGEST_FILE:
            message = f"the file has more than {LARGEST_FILE // 1024} KiB"
            raise ServiceError("service.portal.file", message, hint="choose a package, message or certificate")
    return fields, files
