"""Distinguished names of the SM-PKI: how they are spelt, compared and taken apart.

Names are compared as RFC 5280 section 7.1 says (case folded, white space collapsed, Unicode normalised), never as
bytes: issuers are known to switch between PrintableString and UTF8String from one certificate to the next.
"""

import re
import unicodedata
from dataclasses import dataclass, replace
from functools import lru_cache

from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from smpki.errors import PolicyError
from smpki.policy.device_id import DeviceId

ATTRIBUTES = {
    "CN": NameOID.COMMON_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "C": NameOID.COUNTRY_NAME,
    "serialNumber": NameOID.SERIAL_NUMBER,
    "street": NameOID.STREET_ADDRESS,
    "postalCode": NameOID.POSTAL_CODE,
    "L": NameOID.LOCALITY_NAME,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
}
"""Short name to object identifier of every attribute that the name scheme knows, in the order they are written."""

_SHORT = {oid: short for short, oid in ATTRIBUTES.items()}
_PRINTABLE = re.compile(r"[A-Za-z0-9 '()+,\-./:=?]*")
_SCHEMES = ("CA", "EMT", "GWA", "GWH", "SMGW")
_CA_EXTENSIONS = ("CRL-S", "TLS-S", "TLS")
_SPECIAL = re.compile(r'([,+"\\<>;=])')


def same_name(one: x509.Name, other: x509.Name) -> bool:
    """Whether two names are the same by RFC 5280 section 7.1 (strings prepared, attribute order kept)."""
    return one == other or comparable(one) == comparable(other)


def comparable(name: x509.Name) -> tuple[frozenset[tuple[str, str]], ...]:
    """The name as a value that is equal exactly when the names are the same (RFC 5280 section 7.1)."""
    return tuple(frozenset((a.oid.dotted_string, prepared(a.value)) for a in rdn) for rdn in name.rdns)


def prepared(value: str | bytes) -> str:
    """An attribute value prepared for comparison: normalised, case folded, white space collapsed."""
    text = value if isinstance(value, str) else value.hex()
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


@dataclass(frozen=True, slots=True)
class DistinguishedName:
    """A subject or issuer as the name scheme sees it: one attribute per RDN, in written order.

    :param attributes: pairs of short name (a key of :data:`ATTRIBUTES`) and value
    """

    attributes: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, **attributes: str | None) -> "DistinguishedName":
        """Build a name from keywords (``CN=``, ``O=`` and so on); ``None`` leaves an attribute out.

        The order is the one real certificates have: CN, O, OU, C, serialNumber, then the address.
        """
        unknown = attributes.keys() - ATTRIBUTES.keys()
        if unknown:
            raise _refused("attribute", f"the name scheme has no attribute {sorted(unknown)[0]}")
        return cls(tuple((short, value) for short in ATTRIBUTES if (value := attributes.get(short)) is not None))

    @classmethod
    def from_x509(cls, name: x509.Name) -> "DistinguishedName":
        """Take a pyca name apart.

        :raises PolicyError: ``name.attribute`` for an attribute the scheme does not know, a multi-valued RDN, or bytes
        """
        attributes = []
        for rdn in name.rdns:
            for attribute in rdn:
                short = _SHORT.get(attribute.oid)
                if short is None or not isinstance(attribute.value, str) or len(rdn) != 1:
                    what = attribute.oid.dotted_string if short is None else short
                    raise _refused("attribute", f"attribute {what} is not one the name scheme allows")
                attributes.append((short, attribute.value))
        return cls(tuple(attributes))

    @classmethod
    def parse(cls, text: str) -> "DistinguishedName":
        """Read ``CN=SM-Root.CA, O=SM-PKI-DE, C=DE, serialNumber=3``; special characters escaped by a backslash.

        :raises PolicyError: ``name.text`` when it is not such a text
        """
        attributes = []
        for part in re.findall(r"(?:\\.|[^,\\])+", text, flags=re.DOTALL):
            short, equals, value = part.strip(" ").partition("=")
            by_lower = {known.lower(): known for known in ATTRIBUTES}
            if not equals or short.lower() not in by_lower:
                raise _refused("text", f"{part.strip()!r} is not a known attribute with a value")
            attributes.append((by_lower[short.lower()], re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)))
        return cls(tuple(attributes))

    def get(self, short: str) -> str | None:
        """The value of an attribute, ``None`` when absent.

        :raises PolicyError: ``name.repeated`` when the attribute is there more than once
        """
        values = [value for name, value in self.attributes if name == short]
        if len(values) > 1:
            raise _refused("repeated", f"attribute {short} is there {len(values)} times")
        return values[0] if values else None

    @property
    def common_name(self) -> str:
        """The CN.

        :raises PolicyError: ``name.common_name`` when there is none
        """
        value = self.get("CN")
        if value is None:
            raise _refused("common_name", "the name has no CN")
        return value

    @property
    def serial_number(self) -> int | None:
        """The DN serialNumber (the count of the holder's certificates, not the certificate's serial).

        :raises PolicyError: ``name.serial_number`` when it is no decimal number of at most ten digits
        """
        value = self.get("serialNumber")
        if value is None:
            return None
        if not re.fullmatch("0|[1-9][0-9]{0,9}", value):
            raise _refused("serial_number", f"serialNumber {value!r} is not a decimal number")
        return int(value)

    def with_serial_number(self, number: int | None) -> "DistinguishedName":
        """The same name with another DN serialNumber, in its place or after the country; ``None`` removes it."""
        rest = tuple((short, value) for short, value in self.attributes if short != "serialNumber")
        if number is None:
            return replace(self, attributes=rest)
        shorts = [short for short, _ in self.attributes]
        if "serialNumber" in shorts:
            place = shorts.index("serialNumber")
        else:
            place = shorts.index("C") + 1 if "C" in shorts else len(rest)
        return replace(self, attributes=(*rest[:place], ("serialNumber", str(number)), *rest[place:]))

    def to_x509(self) -> x509.Name:
        """The name for a certificate: PrintableString where the value fits, UTF8String otherwise, as issuers do.

        :raises PolicyError: ``name.value`` when X.520 forbids a value (empty, too long, country not two letters)
        """
        return x509.Name(self._encoded(short, value) for short, value in self.attributes)

    @staticmethod
    def _encoded(short: str, value: str) -> x509.NameAttribute[str]:
        kind = _ASN1Type.PrintableString if _PRINTABLE.fullmatch(value) else _ASN1Type.UTF8String
        try:
            return x509.NameAttribute(ATTRIBUTES[short], value, kind)
        except (TypeError, ValueError) as error:
            raise _refused("value", f"{short}={value!r} is not a value that X.520 allows: {error}") from None

    def key(self) -> str:
        """CN and O as comparable text: the identity of a holder over all generations of its certificates.

        The name scheme makes the CN unique in a PKI. Address, OU and country may change from one triple to the next (a
        gateway's OU does when its administrator changes), and a stranger must not get a known CN by another address.
        """
        return f"CN={_key_part(self.get('CN') or '')},O={_key_part(self.get('O') or '')}"

    def __str__(self) -> str:
        return ", ".join(f"{short}={_escaped(value)}" for short, value in self.attributes)


@lru_cache(maxsize=1024)
def _key_part(value: str) -> str:
    """Kept, since the steps of a batch ask for the same keys again and again."""
    return _escaped(prepared(value))


def _escaped(value: str) -> str:
    escaped = _SPECIAL.sub(r"\\\1", value)
    return "\\" + escaped if escaped.startswith(" ") else escaped


@dataclass(frozen=True, slots=True)
class CommonName:
    """A common name of the name scheme: ``<stem>.<scheme>[.<extension>]``.

    :param stem: organisation, or the device id of a gateway in upper case
    :param scheme: ``CA``, ``EMT``, ``GWA``, ``GWH`` or ``SMGW``
    :param extension: one label, such as ``MAK`` in ``Company.EMT.MAK`` or ``CRL-S`` in ``SM-Root.CA.CRL-S``
    """

    stem: str
    scheme: str
    extension: str | None = None

    def __post_init__(self) -> None:
        if not self.stem or self.stem != self.stem.strip() or self.stem.rpartition(".")[2] in _SCHEMES:
            raise _refused("common_name", f"{self.stem!r} can't stand before .{self.scheme}")
        if self.scheme not in _SCHEMES:
            raise _refused("common_name", f"there is no name scheme {self.scheme!r}", f"one of {', '.join(_SCHEMES)}")
        if self.extension is not None and (not self.extension or "." in self.extension or self.extension in _SCHEMES):
            raise _refused("common_name", f"{self.extension!r} can't stand behind .{self.scheme}")
        if self.scheme == "CA" and self.extension not in (None, *_CA_EXTENSIONS):
            raise _refused("common_name", f"a CA has no part {self.extension!r}", f"one of {', '.join(_CA_EXTENSIONS)}")
        if self.scheme == "SMGW":
            self._check_gateway()

    def _check_gateway(self) -> None:
        device = DeviceId.parse(self.stem)
        if str(device) != self.stem or not device.is_gateway or self.extension is not None:
            message = f"{self.stem!r} is not the device id of a gateway in upper case"
            raise _refused("common_name", message, "such as EABC0012345678.SMGW")

    @classmethod
    def parse(cls, text: str) -> "CommonName":
        """Take a CN apart.

        :raises PolicyError: ``name.common_name`` when it follows no scheme, ``device_id.*`` for a bad gateway id
        """
        labels = text.split(".")
        for behind in (0, 1):
            place = len(labels) - 1 - behind
            if place > 0 and labels[place] in _SCHEMES:
                return cls(".".join(labels[:place]), labels[place], labels[-1] if behind else None)
        hint = "ORG.CA, ORG.EMT[.EXT], ORG.GWA[.EXT], ORG.GWH[.EXT] or DEVICEID.SMGW"
        raise _refused("common_name", f"CN {text!r} follows no name scheme", hint)

    @property
    def device_id(self) -> DeviceId | None:
        """The gateway's device id, ``None`` for every other scheme."""
        return DeviceId.parse(self.stem) if self.scheme == "SMGW" else None

    def __str__(self) -> str:
        return ".".join(part for part in (self.stem, self.scheme, self.extension) if part is not None)


def _refused(part: str, message: str, hint: str = "see the name scheme: smpki policy show") -> PolicyError:
    return PolicyError(f"name.{part}", message, hint=hint)
