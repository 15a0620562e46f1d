"""Content types (Detailspezifikationen zur TR-03109-1, table 6.1), and which of them the Accept field asks for."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from smpki.gateway.http_refusal import HttpRefusal

_WORD = r"[-!#$%&'*+.^_`|~0-9A-Za-z]+"
_NAME = re.compile(rf"{_WORD}/{_WORD}")
_PARAMETER = re.compile(rf'[ \t]*;[ \t]*(?:({_WORD})=(?:({_WORD})|"((?:[^"\\]|\\.)*)"))?')
_COMMA = re.compile(r"[ \t]*(?:,[ \t]*|$)")
_WEIGHT = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
_LAYERS = "encapsulatingcontent"
_SPELLED = {_LAYERS: "encapsulatingContent"}


@dataclass(frozen=True, slots=True)
class MediaType:
    """A content type; as text it is written as the detail specification writes it.

    :param name: type and subtype, in lower case
    :param parameters: names in lower case, and values
    """

    name: str
    parameters: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> "MediaType":
        """Read a Content-Type field (RFC 9110 8.3.1).

        :raises HttpRefusal: 415 ``http.content_type.syntax``
        """
        found, end = _read(text, 0)
        if found is None or end != len(text):
            hint = "write it like application/json"
            raise HttpRefusal(415, "http.content_type.syntax", "this Content-Type can't be read", hint=hint)
        return found

    @property
    def layers(self) -> tuple[str, ...]:
        """How a CMS content is nested, from the outside: RFC 7193's encapsulatingContent; empty where it isn't told."""
        value = dict(self.parameters).get(_LAYERS, "")
        return tuple(re.split(r"[ \t]*,[ \t]*", value.strip(" \t"))) if value else ()

    def is_a(self, wanted: "MediaType") -> bool:
        """Whether this is the wanted type; parameters that the wanted one has not may be there all the same."""
        others = [each for each in wanted.parameters if each[0] != _LAYERS]
        return self.name == wanted.name and set(others) <= set(self.parameters) and wanted.layers in ((), self.layers)

    def __str__(self) -> str:
        quoted = ((_SPELLED.get(name, name), re.sub(r'(["\\])', r"\\\1", value)) for name, value in self.parameters)
        return "; ".join((self.name, *(f'{name}="{value}"' for name, value in quoted)))


JSON = MediaType("application/json")
XML = MediaType("application/xml")


def cms(*layers: str, inner: Literal["json", "xml"] = "json") -> MediaType:
    """The type of content that CMS protects (RFC 7193).

    :param layers: from the outside: ``signedData``, ``authEnvelopedData``, ``compressedData``
    :param inner: the syntax of what is inside
    """
    return MediaType(f"application/cms+{inner}", ((_LAYERS, " , ".join(layers)),))


def negotiate(accept: str | None, offered: Sequence[MediaType]) -> MediaType:
    """The content type to answer with (RFC 9110 12.5.1).

    Where the field is missing, can't be read or leaves a choice, it is JSON, if that is among them, otherwise the
    first (REQ.Webservice.HttpServer.250).

    :param accept: the Accept field
    :param offered: what there is, at least one
    :raises HttpRefusal: 406 ``http.accept``: nothing that the peer would take
    """
    ranges = _ranges(accept) if accept is not None else None
    weights = {each: _weight(each, ranges) for each in offered} if ranges else dict.fromkeys(offered, 1.0)
    best = max(weights.values())
    if best == 0:
        hint = f"this is to be had as {', '.join(map(str, offered))}"
        raise HttpRefusal(406, "http.accept", "it is not to be had in a form that the Accept field names", hint=hint)
    choice = [each for each, weight in weights.items() if weight == best]
    return JSON if len(choice) > 1 and weights.get(JSON) else choice[0]


def _ranges(accept: str) -> list[tuple[MediaType, float]] | None:
    """The ranges of an Accept field with their weights; ``None`` when it can't be read."""
    found: list[tuple[MediaType, float]] = []
    at = 0
    while at < len(accept):
        media, at = _read(accept, at)
        comma = _COMMA.match(accept, at)
        if media is None or comma is None:
            return None
        at = comma.end()
        weight = dict(media.parameters).get("q", "1")
        if not _WEIGHT.fullmatch(weight):
            return None
        parameters = tuple(each for each in media.parameters if each[0] != "q")
        found.append((MediaType(media.name, parameters), float(weight)))
    return found


def _weight(offered: MediaType, ranges: Sequence[tuple[MediaType, float]]) -> float:
    """What the most specific range that fits says."""
    kind = offered.name.partition("/")[0]
    precision = {offered.name: 2, f"{kind}/*": 1, "*/*": 0}
    fitting = [
        ((precision[each.name], len(each.parameters)), weight)
        for each, weight in ranges
        if each.name in precision and MediaType(each.name, offered.parameters).is_a(each)
    ]
    return max(fitting, default=((), 0.0))[1]


def _read(text: str, at: int) -> tuple[MediaType | None, int]:
    """One media type or range at a place, and where it ends."""
    name = _NAME.match(text, at)
    if name is None:
        return None, at
    at = name.end()
    parameters = []
    while parameter := _PARAMETER.match(text, at):
        at = parameter.end()
        if parameter[1]:
            value = parameter[2] or re.sub(r"\\(.)", r"\1", parameter[3] or "")
            parameters.append((parameter[1].lower(), value))
    return MediaType(name[0].lower(), tuple(parameters)), at
