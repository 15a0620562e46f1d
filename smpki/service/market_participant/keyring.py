"""Opens what gateways have encrypted for us, whichever of our ENC keys it was for."""

import io
from collections.abc import Callable, Sequence

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.asn1.ber_reader import in_memory
from smpki.asn1.signed_data import Signed
from smpki.errors import GatewayError
from smpki.gateway.cms_message import read_message, verify_sender
from smpki.gateway.cms_open import Opener
from smpki.gateway.cms_peers import key_identifier
from smpki.gateway.http_refusal import HttpRefusal
from smpki.hsm.key import TokenKey

Signer = Callable[[Signed], x509.Certificate]
"""The certificate whose holder has to have signed a message."""


class Keyring:
    """Our ENC keys. Threads may share it as far as the keys allow.

    :param pairs: certificates and keys, at least one, the newest first
    :raises GatewayError: ``cms.certificate.*``, ``cms.key``
    :ivar in_memory: all keys are; others take as long as their token wants
    """

    def __init__(self, pairs: Sequence[tuple[x509.Certificate, ec.EllipticCurvePrivateKey]]) -> None:
        self.in_memory = not any(isinstance(key, TokenKey) for _, key in pairs)
        self._openers = {key_identifier(certificate): Opener(certificate, key) for certificate, key in pairs}

    def open(self, message: bytes, *, compressed: bool, signer: Signer, limit: int) -> bytes:
        """Verify who signed a message, and decrypt its content; in the order of :func:`smpki.gateway.cms.open`.

        :param compressed: whether its content has to have been
        :param signer: asked once the message was read
        :param limit: octets that a compressed content may have
        :raises HttpRefusal: 422 ``cms.*`` or ``delivery.layers``, and what ``signer`` raises
        :raises TokenError: what the token refuses
        """
        try:
            read = read_message(in_memory(message))
            verify_sender(read.signed, read.digest, signer(read.signed))
            opener = self._openers.get(read.envelope.recipient.key_id) or next(iter(self._openers.values()))
            opener.check(read.envelope)
            if read.compressed != compressed:
                message_text = "the message is not nested as its Content-Type says"
                raise HttpRefusal(422, "delivery.layers", message_text, hint="name compressedData where it is there")
            target = io.BytesIO()
            opener.open(read.envelope, read.algorithms, read.ciphertext, target, limit)
        except HttpRefusal:
            raise
        except GatewayError as error:
            raise HttpRefusal(422, error.code, error.message, where=error.where, hint=error.hint) from None
        return target.getvalue()
