"""The record by which an administrator takes a gateway over from another one, signed by the former.

It is ``{"handOver": {...}, "signature": "..."}``: a :class:`HandOverRecord`, and in base64 a
CMS_ECDSA_SHA256_Detached signature (Detailspezifikationen zur TR-03109-1, table 5.2) over its canonical form (6.9).
No text of the BSI has such a record.
"""

from dataclasses import dataclass
from typing import Literal

from pydantic import ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from smpki.errors import GatewayError
from smpki.gateway.api_types import Body, Certificate, Meter, Moment
from smpki.gateway.cms import sign_detached
from smpki.gateway.delivery_record import MOST_OCTETS, Chain, Name, Triple
from smpki.gateway.json_text import canonical_json
from smpki.gateway.signed_json import enclose, separate
from smpki.requests.keys import Signer

_NAME = "handOver"


class HandOverRecord(Body):
    """A gateway that changes hands.

    :param former: CN of the administrator who hands it over and signs
    :param signer: their SIG certificate
    :param administrator: CN of the one who gets it
    :param certificates: the gateway's
    :param chain: the CAs above them, from the root down
    """

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True)

    version: Literal[1]
    gateway: Meter
    former: Name
    signer: Certificate
    administrator: Name
    certificates: Triple
    chain: Chain
    created_at: Moment


@dataclass(frozen=True)
class HandOver:
    """A record as it was read, its signature not looked at yet.

    :param signed: the canonical JSON that the signature is over
    :param signature: CMS SignedData, DER
    """

    record: HandOverRecord
    signed: bytes
    signature: bytes


def sign_hand_over(record: HandOverRecord, signer: Signer) -> bytes:
    """The file of a record.

    :raises GatewayError: ``cms.certificate.*``, ``cms.key``
    :raises TokenError: what the token refuses
    """
    content = canonical_json(record.model_dump_json(by_alias=True).encode())
    return enclose(_NAME, content, sign_detached(content, certificate=signer.certificate, key=signer.key))


def read_hand_over(data: bytes, where: str = "") -> HandOver:
    """Read a record's file.

    :param where: the file's name, for the refusal
    :raises GatewayError: ``gwa.hand_over.record``
    """
    if len(data) > MOST_OCTETS:
        raise _refused(f"it has more than {MOST_OCTETS:,} octets", where)
    try:
        signed, signature = separate(_NAME, data)
        return HandOver(HandOverRecord.model_validate_json(signed), signed, signature)
    except GatewayError as error:
        raise _refused(error.message, where) from None
    except ValidationError as error:
        first = error.errors()[0]
        raise _refused(f"{'.'.join(map(str, first['loc']))}: {first['msg']}", where) from None


def is_hand_over(data: bytes) -> bool:
    """Whether a file is meant to be such a record."""
    return b'"handOver"' in data[:64]


def _refused(why: str, where: str) -> GatewayError:
    hint = "ask the former administrator for the record once more: smpki gwa hand-over"
    return GatewayError(
        "gwa.hand_over.record", f"this is no record of a gateway handed over: {why}", where=where, hint=hint
    )
