"""The one reviewed file of a key ceremony: what is made, by which algorithms, in which token, before whom.

Each key stands in it with name, curve and hash, so that a reviewer sees what will be without reading the policy; where
policy or PKI say otherwise, the ceremony is not held (see :mod:`smpki.ca.ceremony_plan`).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field, StrictInt

from smpki.errors import IssuingError, SmpkiError
from smpki.policy.document import Complaint, Document, Wording
from smpki.policy.model import CertificateType, CurveName, EnvironmentName, HashName, Strict

_WORDING = Wording(
    IssuingError,
    "ceremony",
    hint="mend the file, have it reviewed again, then run: smpki ceremony check FILE",
    start="start from examples/ceremony/first-root.yaml",
)

Text = Annotated[str, Field(min_length=1)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Witness(Strict):
    """Somebody who is there and signs the protocol."""

    name: Text
    role: Text


class TokenChoice(Strict):
    """The token that the keys are made in.

    :param module: PKCS#11 module as ``smpki init`` takes it; ``None``: SoftHSM, its token in the home
    """

    label: Text
    module: Text | None = None


class PlannedKey(Strict):
    """A key, and whose it is.

    :param number: DN serialNumber; ``None`` for a CRL signer, whose name has none
    :param hash: of the signatures that the key makes
    """

    type: CertificateType
    common_name: Text
    number: StrictInt | None = None
    curve: CurveName
    hash: HashName


class RootStep(Strict):
    """A root with its CRL signer, TLS signer and TLS certificate; renewed, also the link certificate from the old."""

    make: Literal["root", "root-renewal"]
    generation: Text
    keys: tuple[PlannedKey, ...]


class Requests(Strict):
    """The PKCS#10 requests of a Sub-CA that keeps its keys itself.

    :param file: path, from the folder of the ceremony's file
    """

    file: Text
    sha256: Sha256


class SubCaStep(Strict):
    """A Sub-CA with its two TLS certificates; with ``requests`` without the one that it issues itself."""

    make: Literal["sub-ca", "sub-ca-renewal"]
    organisation: Text
    country: Text
    email: Text
    uri: Text
    generation: Text
    requests: Requests | None = None
    keys: tuple[PlannedKey, ...]


Step = Annotated[RootStep | SubCaStep, Field(discriminator="make")]


class Ceremony(Strict):
    """A key ceremony (Schlüsselzeremonie).

    :param policy_sha256: of the policy's file; ``None``: any
    """

    title: Text
    place: Text
    environment: EnvironmentName
    token: TokenChoice
    policy_sha256: Sha256 | None = None
    witnesses: Annotated[tuple[Witness, ...], Field(min_length=1)]
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]


@dataclass(frozen=True)
class CeremonyFile:
    """A ceremony's file that was read.

    :param content: the file, octet by octet
    """

    ceremony: Ceremony
    content: bytes = field(repr=False)
    document: Document = field(repr=False)

    @property
    def sha256(self) -> str:
        """Of the file, hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()

    def differs(self, complaints: Sequence[Complaint]) -> SmpkiError:
        """The refusal of a file that says something else than policy or PKI."""
        return self.document.refusal("differs", complaints)


def read_ceremony(content: bytes, name: str) -> CeremonyFile:
    """Read a ceremony's file.

    :param content: YAML, UTF-8
    :param name: what to call the file in messages
    :raises IssuingError: ``ceremony.yaml`` or ``ceremony.invalid``; ``where`` is ``file:line: path``
    """
    try:
        document = Document(content.decode("utf-8"), name, _WORDING)
    except UnicodeDecodeError:
        raise IssuingError("ceremony.yaml", "not UTF-8 text", where=name, hint=_WORDING.start) from None
    return CeremonyFile(document.load(Ceremony), content, document)
