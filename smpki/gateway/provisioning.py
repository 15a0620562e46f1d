"""What a factory's run works with: who issues certificates, and what the gateways of a run have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.errors import SmpkiError
from smpki.gateway.configuration import AdministratorConfiguration, WakeUpConfiguration
from smpki.gateway.delivery_record import Administrator
from smpki.gateway.trust_anchors import AnchorRole
from smpki.policy.names import CommonName, DistinguishedName


@dataclass(frozen=True)
class Issuance:
    """What became of a request package.

    :param state: ``issued`` now, ``known``: the same package was granted before, these are its certificates, or
        ``refused``: nothing was ever issued for it
    :param certificates: TLS, SIG, ENC; empty when refused
    :param chain: the CAs above them, from the root down to their issuer
    :param error: why it was refused
    """

    state: Literal["issued", "known", "refused"]
    certificates: tuple[x509.Certificate, ...] = ()
    chain: tuple[x509.Certificate, ...] = ()
    error: SmpkiError | None = None


class Issuer(Protocol):
    """Who grants request packages: a Sub-CA, wherever it is."""

    def issue(self, packages: Sequence[bytes]) -> Sequence[Issuance]:
        """Grant packages; each stands and falls alone, and the same again is answered with the same certificates.

        :param packages: DER, of different subjects
        :return: an answer for each, in their order
        :raises SmpkiError: the issuer can't work; packages of this call may be unanswered, and can be given again
        """

    def chain(self) -> tuple[x509.Certificate, ...]:
        """The CAs above what is issued now, from the root down to the Sub-CA.

        :raises SmpkiError: as :meth:`issue`
        """


@dataclass(frozen=True)
class Commission:
    """What the gateways of a run have in common. It crosses into other processes.

    :param organisation: O of the gateways' certificates
    :param manufacturer: OU of them
    :param country: C of them
    :param administrator: the part of their configuration that says where the administrator is
    :param trusted: the administrator's certificates by role, DER
    :param wake_up: the part that says where they listen for wake-ups
    """

    organisation: str
    manufacturer: str
    country: str
    administrator: AdministratorConfiguration
    trusted: Mapping[AnchorRole, bytes]
    wake_up: WakeUpConfiguration


def commission_for(
    manufacturer: x509.Certificate,
    administrator: Administrator,
    place: AdministratorConfiguration,
    wake_up: WakeUpConfiguration,
) -> Commission:
    """The commission of a manufacturer for an administrator.

    :param manufacturer: its certificate: the gateways' O and C are its own, their OU is its name
    :raises PolicyError: ``name.*``: the manufacturer's name is not one of the SM-PKI
    """
    name = DistinguishedName.from_x509(manufacturer.subject)
    certificates = {
        AnchorRole.GWA_TLS: administrator.tls,
        AnchorRole.GWA_SIG: administrator.sig,
        AnchorRole.GWA_ENC: administrator.enc,
    }
    return Commission(
        organisation=name.get("O") or "",
        manufacturer=CommonName.parse(name.common_name).stem,
        country=name.get("C") or "",
        administrator=place,
        trusted={role: certificate.public_bytes(Encoding.DER) for role, certificate in certificates.items()},
        wake_up=wake_up,
    )
