"""How signed requests are put into one another: what is known, what is guessed, and the one form that is written.

Known from a real renewal package of 2024: under content type ...4.1.1.2 SignedData stands straight inside of
ContentInfo, and signs bare CertReqMessages as eContentType ...4.1.1.1.

Inferred, since none was seen: authorised packages (...4.1.1.3), signed revocation requests (...4.1.2.2) and
UpdateDeviceAdmin (0.4.0.127.0.7.3.4.2.2). They are written in the renewal's way: SignedData straight inside, its
eContent the content of the type that eContentType names, without a ContentInfo of its own. They are read as well with
such a ContentInfo around the content, which then has to name the same type.
"""

from smpki.asn1 import der
from smpki.asn1.ber import unwrap
from smpki.asn1.content_info import read_content_info
from smpki.errors import RequestError
from smpki.requests.envelope import malformed
from smpki.requests.signature import Signature


def signed_content(signature: Signature, *content_types: str) -> tuple[str, bytes]:
    """What a signature signs: the type, and the encoded content, with its own ContentInfo taken off.

    :param content_types: the types that it may have
    :return: one of them, and one element with definite lengths
    :raises RequestError: ``request.LAYER.nesting`` for other types, or two that contradict each other,
        ``request.encoding.*``
    """
    signed = signature.signed_data
    if signed.content_type not in content_types:
        raise _refused(signature, f"what is signed has content type {signed.content_type}", content_types)
    try:
        content = unwrap(signed.content)
        if not _is_content_info(content):
            return signed.content_type, content
        own_type, content = read_content_info(content)
    except der.DerError as error:
        raise malformed(error, signature.layer.place) from None
    if own_type != signed.content_type:
        message = f"the signature names content type {signed.content_type}, the ContentInfo in it {own_type}"
        raise _refused(signature, message, content_types)
    return own_type, content


def _is_content_info(content: bytes) -> bool:
    """Whether an identifier comes first: CertReqMessages and the like begin with a SEQUENCE, SignedData with a number.

    :raises DerError: when it is no SEQUENCE
    """
    fields = der.elements(der.single(content, der.SEQUENCE, "the signed content").content, "the signed content")
    return bool(fields) and fields[0].tag == der.OBJECT_IDENTIFIER


def _refused(signature: Signature, message: str, content_types: tuple[str, ...]) -> RequestError:
    return RequestError(
        f"request.{signature.layer}.nesting",
        message,
        where=signature.layer.place,
        hint=f"sign content of type {' or '.join(content_types)}",
    )
