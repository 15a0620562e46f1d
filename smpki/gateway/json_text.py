"""JSON as RFC 8259 has it, and its form for signatures (Kanonisierung, Detailspezifikationen zur TR-03109-1, 6.9)."""

import json
import math
import re
from typing import Any, NoReturn

from smpki.errors import GatewayError

_STRING_OR_WHITESPACE = re.compile(rb'("(?:[^"\\]|\\.)*")|[\t\n\r ]+')


def read_json(data: bytes) -> Any:
    """Parse JSON in UTF-8; stricter than the standard library.

    :raises GatewayError: ``json.syntax``: it is none, a name stands twice in an object, or a number or the nesting is
        beyond all measure
    """
    try:
        return json.loads(
            data.decode(), parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_unique_names
        )
    except json.JSONDecodeError as error:
        raise _refused(f"{error.msg.lower()} at character {error.pos + 1}") from None
    except UnicodeDecodeError as error:
        raise _refused(f"octet {error.start + 1} is not UTF-8") from None
    except ValueError as error:
        raise _refused(str(error)) from None
    except RecursionError:
        raise _refused("the nesting is too deep") from None


def canonical_json(data: bytes) -> bytes:
    """What is signed of a JSON text: all of it but the white space between its tokens.

    Nothing else changes: neither the order of names nor the way strings and numbers are written.

    :raises GatewayError: as :func:`read_json`
    """
    read_json(data)
    return _STRING_OR_WHITESPACE.sub(rb"\1", data)


def write_json(value: object) -> bytes:
    """The canonical JSON text of what the standard library can serialise, in UTF-8.

    :raises ValueError: not a number, or infinite
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice in an object")
    return members


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _refused(why: str) -> GatewayError:
    return GatewayError("json.syntax", f"this is not JSON: {why}", hint="RFC 8259, in UTF-8, each name once an object")
