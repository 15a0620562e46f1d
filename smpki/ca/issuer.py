"""A CA in operation: its certificate, its key, and what the certificates it issues take over from them."""

from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.ca.store.records import serial_text
from smpki.errors import IssuingError
from smpki.policy.directory_name import escaped
from smpki.policy.model import CertificateType, Environment, HashName
from smpki.policy.names import DistinguishedName

HASHES: dict[HashName, hashes.SHA256 | hashes.SHA384 | hashes.SHA512] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


@dataclass(frozen=True)
class Issuer:
    """An issuing CA.

    :param kind: ``root``, ``tls-signer`` or ``sub-ca``
    :param certificate: its certificate; while a hierarchy is being prepared, the one that is about to be signed
    :param key: its private key, in a token or in memory
    :param hash: the hash of its signatures
    :param key_use_end: after this moment the key signs no more certificates
    :param root: name of the root above it, whose CRL covers its certificate; ``None`` when it is the root
    """

    kind: CertificateType
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    hash: HashName
    key_use_end: datetime
    root: DistinguishedName | None = None

    @cached_property
    def serial(self) -> str:
        """The serial number of its certificate as the store writes it."""
        return serial_text(self.certificate.serial_number)

    @cached_property
    def name(self) -> DistinguishedName:
        """The issuer's distinguished name."""
        return DistinguishedName.from_x509(self.certificate.subject)

    @cached_property
    def contact(self) -> tuple[str, str]:
        """Mail address and URI of the issuer, from its SubjectAltName."""
        names = self.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return (
            names.get_values_for_type(x509.RFC822Name)[0],
            names.get_values_for_type(x509.UniformResourceIdentifier)[0],
        )

    @cached_property
    def key_identifier(self) -> x509.SubjectKeyIdentifier:
        """The SubjectKeyIdentifier of the issuer's certificate."""
        return self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value

    def check_usable(self, now: datetime) -> None:
        """See that the CA may sign certificates now.

        :raises IssuingError: ``issuing.issuer.*`` when its certificate is not valid or its key is past its use
        """
        name = self.name.common_name
        if not self.certificate.not_valid_before_utc <= now <= self.certificate.not_valid_after_utc:
            raise IssuingError(
                "issuing.issuer.expired",
                f"the certificate of {name} is valid from {self.certificate.not_valid_before_utc:%Y-%m-%d}"
                f" to {self.certificate.not_valid_after_utc:%Y-%m-%d}",
                where=name,
                hint="a CA needs a valid certificate to issue: see smpki ca list",
            )
        if now > self.key_use_end:
            raise IssuingError(
                "issuing.issuer.key_use_over",
                f"the key of {name} signed certificates until {self.key_use_end:%Y-%m-%d}, now it signs CRLs only",
                where=name,
                hint="the CA needs a new key and certificate: see smpki ca list",
            )


def crl_addresses(environment: Environment, name: DistinguishedName, generation: int) -> tuple[str, str]:
    """Where the CRL of an issuer is found: HTTP and LDAP URI.

    :param name: the CRL's issuer
    :param generation: DN serialNumber of the CA that the CRL belongs to; there is one CRL per CA generation
    """
    parts = {"cn": name.common_name, "o": name.get("O") or "", "c": name.get("C") or "", "n": str(generation)}
    http = {key: quote(value, safe="") for key, value in parts.items()}
    ldap = {key: quote(escaped(value), safe="") for key, value in parts.items()}
    return environment.crl_http.value.format(**http), environment.crl_ldap.value.format(**ldap)
