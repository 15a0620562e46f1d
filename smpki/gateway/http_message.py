"""What HTTP handlers get and give, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from cryptography import x509
from pydantic import BaseModel, ValidationError

from smpki.errors import SmpkiError
from smpki.gateway.http_refusal import HttpRefusal
from smpki.gateway.json_text import read_json, write_json
from smpki.gateway.media_type import JSON, MediaType

STATUSES = frozenset(
    (
        *(200, 201, 202, 204, 206),
        *(400, 401, 403, 404, 405, 406, 408, 409, 411, 413, 414, 415, 416, 422, 431),
        *(500, 502, 503, 505),
    )
)
"""The status codes there are (Detailspezifikationen zur TR-03109-1, table 6.2)."""

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Request:
    """A request that keeps to the rules of the wire.

    :param method: such as ``GET``; case matters
    :param path: begins with ``/``; percent-encoded, as it came
    :param query: what stands behind the ``?``, as it came; ``None`` where there is none
    :param fields: header fields by their names in lower case; repeated ones joined by commas (RFC 9110 5.3)
    :param body: without its content coding
    :param peer: certificates of who asks, end entity first; none where it showed none
    """

    method: str
    path: str
    query: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    peer: tuple[x509.Certificate, ...] = ()

    def content_type(self, *expected: MediaType) -> MediaType:
        """The type of the body, which has to be one of those expected.

        :raises HttpRefusal: 415 ``http.content_type.*``
        """
        found = MediaType.parse(self.fields.get("content-type", ""))
        if not any(found.is_a(each) for each in expected):
            hint = f"use {' or '.join(map(str, expected))}"
            message = f"a body of the type {found.name} is not taken here"
            raise HttpRefusal(415, "http.content_type.unsupported", message, hint=hint)
        return found

    def json(self, model: type[Model]) -> Model:
        """The body, which has to be JSON, as the model.

        :raises HttpRefusal: 415 ``http.content_type.*``; 422 ``json.*``: it is no JSON, or not as the model wants it
        """
        self.content_type(JSON)
        return parse_json(self.body, model)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer.

    :param status: one of :data:`STATUSES`
    :param content_type: of the body; neither goes without the other
    :param fields: further header fields, none that the peer could do without
    :raises ValueError: an answer that must not be
    """

    status: int
    body: bytes = b""
    content_type: MediaType | None = None
    fields: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"table 6.2 has no status {self.status}")
        if bool(self.body) != (self.content_type is not None):
            raise ValueError("a body needs its content type, and only a body has one")
        if self.body and self.status == 204:
            raise ValueError("204 No Content has no body")

    @classmethod
    def of_json(cls, status: int, value: object) -> "Response":
        """An answer with a JSON body: a model, or anything that :func:`write_json` takes."""
        body = value.model_dump_json().encode() if isinstance(value, BaseModel) else write_json(value)
        return cls(status, body, JSON)

    @classmethod
    def of_error(cls, error: SmpkiError) -> "Response":
        """The answer that explains a refusal; 500 where the error names no status."""
        status, fields = (error.status, error.fields) if isinstance(error, HttpRefusal) else (500, {})
        return cls(status, write_json(error.as_dict()), JSON, fields)


def parse_json(body: bytes, model: type[Model]) -> Model:
    """JSON as the model wants it.

    :raises HttpRefusal: 422 ``json.syntax`` or ``json.content``
    """
    try:
        read_json(body)
        return model.model_validate_json(body)
    except SmpkiError as error:
        raise HttpRefusal(422, error.code, error.message, hint=error.hint) from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise HttpRefusal(422, "json.content", first["msg"], where=where, hint="see the description of it") from None
