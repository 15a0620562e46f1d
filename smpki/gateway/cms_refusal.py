"""What is said of a message that is refused."""

from collections.abc import Iterator
from contextlib import contextmanager

from smpki.asn1.auth_enveloped import AuthEnvelopedError
from smpki.asn1.der import DerError
from smpki.asn1.signed_data import SignedDataError
from smpki.errors import GatewayError

_PROFILE = "ask the sender for a message as the Detailspezifikationen zur TR-03109-1 v2.0, chapter 5, have it"


@contextmanager
def reading() -> Iterator[None]:
    """Turn what is wrong with a message's structure or signature into a refusal.

    :raises GatewayError: ``cms.encoding.*``, ``cms.signature.*``, ``cms.envelope.*``
    """
    try:
        yield
    except DerError as error:
        raise GatewayError(f"cms.encoding.{error.rule}", error.message, where="message", hint=_PROFILE) from None
    except SignedDataError as error:
        raise GatewayError(f"cms.signature.{error.rule}", error.message, where="signature", hint=_PROFILE) from None
    except AuthEnvelopedError as error:
        raise GatewayError(f"cms.envelope.{error.rule}", error.message, where="envelope", hint=_PROFILE) from None


def unopened() -> GatewayError:
    """The one refusal for everything that fails from the key agreement on: it tells an attacker nothing."""
    return GatewayError(
        "cms.unopened",
        "the content can't be opened",
        where="content",
        hint="it is not for this key, was changed, or unpacks to more than is allowed; ask the sender",
    )
