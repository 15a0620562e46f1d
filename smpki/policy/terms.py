"""What things are called, for people: in words, and by the German term of the guidelines."""

from types import MappingProxyType
from typing import NamedTuple


class Term(NamedTuple):
    """A name and its German counterpart."""

    name: str
    german: str

    def __str__(self) -> str:
        return f"{self.name} ({self.german})" if self.german else self.name


PURPOSES = MappingProxyType(
    {
        "ca": Term("CA certificate", "CA-Zertifikat"),
        "crl": Term("CRL signing certificate", "Sperrlisten-Zertifikat"),
        "tls": Term("TLS certificate", "TLS-Zertifikat"),
        "sig": Term("signature certificate", "Signaturzertifikat"),
        "enc": Term("encryption certificate", "Verschlüsselungszertifikat"),
    }
)
"""What a certificate is for."""

ATTRIBUTES = MappingProxyType(
    {
        "CN": Term("common name", "Name"),
        "O": Term("PKI", "Organisation"),
        "OU": Term("organisational unit", "Organisationseinheit"),
        "C": Term("country", "Land"),
        "serialNumber": Term("generation", "laufende Nummer"),
        "street": Term("street", "Straße"),
        "postalCode": Term("postal code", "Postleitzahl"),
        "L": Term("city", "Ort"),
        "ST": Term("state", "Bundesland"),
    }
)
"""Attributes of a name, as the name scheme uses them."""

EXTENSIONS = MappingProxyType(
    {
        "authority_key_identifier": Term("AuthorityKeyIdentifier", "Schlüsselkennung des Ausstellers"),
        "subject_key_identifier": Term("SubjectKeyIdentifier", "Schlüsselkennung des Inhabers"),
        "key_usage": Term("KeyUsage", "Schlüsselverwendung"),
        "private_key_usage_period": Term("PrivateKeyUsagePeriod", "Nutzungszeitraum des privaten Schlüssels"),
        "certificate_policies": Term("CertificatePolicies", "Zertifizierungsrichtlinien"),
        "subject_alternative_name": Term("SubjectAltName", "weitere Namen des Inhabers"),
        "issuer_alternative_name": Term("IssuerAltName", "weitere Namen des Ausstellers"),
        "basic_constraints": Term("BasicConstraints", "Basiseinschränkungen"),
        "extended_key_usage": Term("ExtendedKeyUsage", "erweiterte Schlüsselverwendung"),
        "crl_distribution_points": Term("CRLDistributionPoints", "Verteilpunkte der Sperrliste"),
        "authority_information_access": Term("AuthorityInfoAccess", "Auskunft des Ausstellers"),
        "crl_number": Term("CRLNumber", "Nummer der Sperrliste"),
        "issuing_distribution_point": Term("IssuingDistributionPoint", "Geltungsbereich der Sperrliste"),
        "delta_crl_indicator": Term("DeltaCRLIndicator", "Kennzeichen einer Delta-Sperrliste"),
        "reason_code": Term("ReasonCode", "Sperrgrund"),
        "certificate_issuer": Term("CertificateIssuer", "Aussteller des Zertifikats"),
        "invalidity_date": Term("InvalidityDate", "ungültig seit"),
    }
)
"""Extensions of certificates, CRLs and entries of CRLs, by their field in a profile."""

KEY_USAGES = MappingProxyType(
    {
        "digital_signature": Term("digitalSignature", "digitale Signatur"),
        "content_commitment": Term("nonRepudiation", "Nichtabstreitbarkeit"),
        "key_encipherment": Term("keyEncipherment", "Schlüsselverschlüsselung"),
        "data_encipherment": Term("dataEncipherment", "Datenverschlüsselung"),
        "key_agreement": Term("keyAgreement", "Schlüsselvereinbarung"),
        "key_cert_sign": Term("keyCertSign", "Zertifikate signieren"),
        "crl_sign": Term("cRLSign", "Sperrlisten signieren"),
        "encipher_only": Term("encipherOnly", "nur Verschlüsselung"),
        "decipher_only": Term("decipherOnly", "nur Entschlüsselung"),
    }
)
"""Bits of KeyUsage."""

EXTENDED_KEY_USAGES = MappingProxyType(
    {
        "client_auth": Term("clientAuth", "TLS-Client"),
        "server_auth": Term("serverAuth", "TLS-Server"),
    }
)
"""Purposes of ExtendedKeyUsage."""

GENERAL_NAMES = MappingProxyType(
    {
        "email": Term("e-mail address", "E-Mail-Adresse"),
        "uri": Term("URI", "Adresse"),
        "dns": Term("host name", "Rechnername"),
    }
)
"""Kinds of general names."""

REVOCATION_REASONS = MappingProxyType(
    {
        "unspecified": Term("unspecified", "ohne Angabe"),
        "keyCompromise": Term("keyCompromise", "Schlüssel kompromittiert"),
        "cACompromise": Term("cACompromise", "Schlüssel der CA kompromittiert"),
        "affiliationChanged": Term("affiliationChanged", "Zugehörigkeit geändert"),
        "superseded": Term("superseded", "ersetzt"),
        "cessationOfOperation": Term("cessationOfOperation", "Betrieb eingestellt"),
        "certificateHold": Term("certificateHold", "suspendiert"),
        "removeFromCRL": Term("removeFromCRL", "Suspendierung aufgehoben"),
        "privilegeWithdrawn": Term("privilegeWithdrawn", "Berechtigung entzogen"),
        "aACompromise": Term("aACompromise", "Schlüssel der Attributstelle kompromittiert"),
    }
)
"""Reasons in entries of CRLs, as RFC 5280 5.3.1 spells them."""
