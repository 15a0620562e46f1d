"""What a meter answered: the SML file of a telegram as plain values, exactly as they were sent.

pysml cuts the file into lists and numbers and checks each message's checksum. Its own interpretation is not used: it
divides by the scaler in floating point, forgets the scaler, turns the sign of some makes' values around and knows no
GetProcParameter. A reading must keep every digit (REQ.TLSHDLC.SMGW.90).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from bitstring import Bits, Reader
from sml import SmlMessage, SmlParserError

from smpki.errors import GatewayError
from smpki.gateway.readings import Obis

OPEN_RESPONSE, GET_PROC_PARAMETER_RESPONSE, GET_LIST_RESPONSE, ATTENTION = 0x0101, 0x0501, 0x0701, 0xFF01
DEEPEST = 16
"""Lists within lists; a list of readings needs 6, a tree of parameters two for each level."""

_OCTET_STRING, _BOOLEAN = 0, 4
_ABSENT = b""
_UNSIGNED32 = range(2**32)

_REGISTERS = (3, 4, 0x8000, 32770)
"""COSEM classes Register and Extended Register, and the meter makers' Advanced Extended Register, old and new."""
_VALUE, _SCALER_UNIT, _STATUS, _CAPTURE_TIME = 2, 3, 4, 5  # attributes of those classes


@dataclass(frozen=True, slots=True)
class SmlTime:
    """A meter's idea of a moment.

    :param seconds: since 1970 UTC when ``absolute``, otherwise since the meter began to count (Sekundenindex)
    """

    seconds: int
    absolute: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """A register and what it held. Optional parts are None where the meter left them out."""

    obis: Obis
    value: int
    scaler: int | None
    unit: int | None
    status: int | None
    measured: SmlTime | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What one meter said about its registers; those that hold no number are left out."""

    server_id: bytes
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class SmlFile:
    """The file: when the meter sent it (``refTime``), and its answers."""

    sent: SmlTime | None
    answers: tuple[Answer, ...]


def read_file(content: bytes) -> SmlFile:
    """Read an SML file of responses. Messages that carry no readings are passed over.

    :param content: as the transport protocol gave it
    :raises GatewayError: ``reading.sml.file``: a message that is no message, a wrong checksum, wrong types, nesting
        too deep; ``reading.sml.attention``: the meter refused; ``reading.obis``
    """
    sent, opened_by, answers = None, b"", []
    try:
        for message in _messages(content):
            match message:
                case [int(kind), [_, _, _, bytes(server), time, _]] if kind == OPEN_RESPONSE:
                    sent, opened_by = _time(time), server
                case [int(kind), [_, bytes(server), _, time, list(entries), _, _]] if kind == GET_LIST_RESPONSE:
                    answers.append(Answer(server or opened_by, tuple(_listed(entries, _time(time)))))
                case [int(kind), [bytes(server), _, tree]] if kind == GET_PROC_PARAMETER_RESPONSE:
                    answers.append(Answer(server or opened_by, tuple(_registers(tree))))
                case [int(kind), [_, bytes(number), *_]] if kind == ATTENTION:
                    raise _refused("attention", f"the meter refuses with attention number {number.hex()}")
                case [int(kind), _] if kind not in (OPEN_RESPONSE, GET_LIST_RESPONSE, GET_PROC_PARAMETER_RESPONSE):
                    continue
                case _:
                    raise _malformed("a message")
    except GatewayError:
        raise
    except Exception as error:  # pysml raises whatever it stumbles over
        raise _malformed(f"the file ({type(error).__name__})") from None
    return SmlFile(sent, tuple(answers))


class _Message(SmlMessage):  # type: ignore[misc]  # pysml has no types
    """A message as pysml cuts it up and checks it; its body stays a list of pysml's items."""

    _SmlMessage__CHOICES: ClassVar[Mapping[int, str]] = {}  # the bodies that pysml would interpret

    def _read_tag_length(self) -> tuple[int, int, int]:
        """A boolean counts as an octet string: pysml knows none, and no reading is one."""
        tag, length, octets = super()._read_tag_length()
        return _OCTET_STRING if tag == _BOOLEAN else tag, length, octets

    def _read_list(self, count: int, nesting: int = 0) -> list[Any]:
        """Refuse what would exhaust the stack."""
        if nesting > DEEPEST:
            raise SmlParserError
        items: list[Any] = super()._read_list(count, nesting)
        return items


def _messages(content: bytes) -> Iterator[object]:
    """Each message's kind and body: lists, numbers and octet strings; what is left out is an empty octet string."""
    rest = Reader(Bits.from_bytes(content))
    while not rest.at_end:
        yield [_plain(item.value) for item in _Message(rest)["messageBody"]]


def _plain(value: Any) -> object:
    return [_plain(item.value) for item in value] if isinstance(value, list) else value


def _listed(entries: list[object], listed_at: SmlTime | None) -> Iterator[Entry]:
    """Entries of GetList.Res; ``listed_at`` (``actSensorTime``) counts for those without a time of their own."""
    for entry in entries:
        match entry:
            case [bytes(name), status, time, unit, scaler, int(value), _]:
                parts = _number(scaler), _number(unit), _number(status)
                yield Entry(Obis(name), value, *parts, measured=_time(time) or listed_at)
            case [_, _, _, _, _, _, _]:
                continue
            case _:
                raise _malformed("an entry of a list")


def _registers(tree: object) -> Iterator[Entry]:
    """Registers in the tree of GetProcParameter.Res.

    A COSEM object is a node named by OBIS identifier, class and version, nine octets; its children are its attributes,
    named by their numbers.
    """
    match tree:
        case [bytes(name), _, list(attributes)] if len(name) == 9 and int.from_bytes(name[6:8]) in _REGISTERS:
            yield from _register(Obis(name[:6]), dict(map(_attribute, attributes)))
        case [bytes(), _, list(children)]:
            for child in children:
                yield from _registers(child)
        case [bytes(), _, b""]:
            return
        case _:
            raise _malformed("a tree of parameters")


def _attribute(node: object) -> tuple[int, object]:
    """Number and value of an attribute, out of its SML_ProcParValue."""
    match node:
        case [bytes(number), [int(), value], _]:
            return int.from_bytes(number), value
        case [bytes(number), b"", _]:
            return int.from_bytes(number), _ABSENT
        case _:
            raise _malformed("an attribute")


def _register(obis: Obis, attributes: Mapping[int, object]) -> Iterator[Entry]:
    """The entry of one COSEM object, if it holds a number."""
    value, status, time = (attributes.get(which, _ABSENT) for which in (_VALUE, _STATUS, _CAPTURE_TIME))
    if isinstance(value, int):
        scaler, unit = _scaler_unit(attributes.get(_SCALER_UNIT, _ABSENT))
        yield Entry(obis, value, scaler, unit, _number(status), _time(time))


def _scaler_unit(value: object) -> tuple[int | None, int | None]:
    match value:
        case b"":
            return None, None
        case [3, [1, [int(scaler), int(unit)]]]:  # SML_ListType, SML_CosemValue, SML_CosemScalerUnit
            return scaler, unit
        case _:
            raise _malformed("a scaler with its unit")


def _number(value: object) -> int | None:
    """A number that may be left out."""
    match value:
        case b"":
            return None
        case int(number):
            return number
        case _:
            raise _malformed("a number")


def _time(value: object) -> SmlTime | None:
    """An SML_Time that may be left out."""
    match value:
        case b"":
            return None
        case [1, int(seconds)] | int(seconds) if seconds in _UNSIGNED32:  # some makes leave the choice out
            return SmlTime(seconds, absolute=False)
        case [2, int(seconds)] | [3, [int(seconds), int(), int()]] if seconds in _UNSIGNED32:
            return SmlTime(seconds, absolute=True)  # that of a local time is UTC too; its offsets stand beside
        case [1, [_, _] as wrapped]:  # in an SML_ListType, as the value of an attribute
            return _time(wrapped)
        case _:
            raise _malformed("a time")


def _malformed(what: str) -> GatewayError:
    return _refused("file", f"{what} in a telegram is not as SML has it")


def _refused(rule: str, message: str) -> GatewayError:
    return GatewayError(f"reading.sml.{rule}", message, hint="look at the meter if it happens often")
