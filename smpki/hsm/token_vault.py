"""A PKCS#11 token as a vault: certificates and records beside the keys, random numbers, ephemeral keys."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from asn1crypto.core import OctetString
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pkcs11 import Attribute, CertificateType, KeyType, MechanismFlag, ObjectClass
from pkcs11.mechanisms import Mechanism

from smpki.errors import TokenError
from smpki.hsm.claim import FileClaim
from smpki.hsm.ecdh import shared_secret
from smpki.hsm.key import KeyInfo, KeyUse, TokenKey
from smpki.hsm.lookup import EC_PARAMS, template
from smpki.hsm.sessions import Channel
from smpki.hsm.settle import settle
from smpki.hsm.token import Token
from smpki.hsm.vault import Ephemeral, ObjectKind, StoredObject

_CLASSES = {ObjectKind.CERTIFICATE: ObjectClass.CERTIFICATE, ObjectKind.RECORD: ObjectClass.DATA}
_APPLICATION = "smpki"


class TokenVault:
    """See :class:`smpki.hsm.vault.Vault`. The token stays its opener's to close.

    Certificates and records are private objects: others can neither read them nor put any in without the PIN, and what
    is not private is not taken for one. A crash of SoftHSM leaves at worst an empty file, which is no object.

    :param durable: otherwise what was changed is on disk after :meth:`settle`, and not before
    """

    def __init__(self, token: Token, *, durable: bool = True) -> None:
        self._token = token
        self._durable = durable

    @property
    def label(self) -> str:
        """See :attr:`Vault.label`: the token's."""
        return self._token.label

    def claim(self, name: str) -> FileClaim:
        """See :meth:`Vault.claim`; by a file beside the token's lock file, so for one computer."""
        lock = self._token.lock
        what = f"{self.label}: {name}"
        return FileClaim(lock.with_name(f"{lock.name}.{quote(self.label, safe='')}.{name}"), what)

    def random(self, octets: int) -> bytes:
        """See :meth:`Vault.random`: C_GenerateRandom."""
        with self._token.channel("make random numbers") as channel:
            made: bytes = channel.session.generate_random(octets * 8)
        if len(made) != octets:
            raise TokenError(
                "token.random",
                f"the token gave {len(made)} random octets instead of {octets}",
                where=self.label,
                hint="don't use this token; ask its vendor",
            )
        return made

    def generate(self, label: str, curve: ec.EllipticCurve, use: KeyUse) -> TokenKey:
        """See :meth:`Vault.generate`."""
        key = self._token.generate(label, curve, use)
        self._changed()
        return key

    def keys(self) -> tuple[KeyInfo, ...]:
        """See :meth:`Vault.keys`."""
        return self._token.keys()

    def key(self, *, label: str | None = None, key_id: bytes | None = None) -> TokenKey:
        """See :meth:`Vault.key`."""
        return self._token.key(label=label, key_id=key_id)

    def destroy(self, key: KeyInfo) -> None:
        """See :meth:`Vault.destroy`."""
        self._token.destroy(key)
        self._changed()

    def tls_key(self, key: TokenKey) -> None:
        """See :meth:`Vault.tls_key`."""

    def agree_once(self, peer: ec.EllipticCurvePublicKey) -> Ephemeral:
        """See :meth:`Vault.agree_once`; with a key pair of the session."""
        with self._token.channel("agree with an ephemeral key") as channel:
            parameters = channel.session.create_domain_parameters(
                KeyType.EC, {Attribute.EC_PARAMS: EC_PARAMS[peer.curve.name]}, local=True
            )
            public, private = parameters.generate_keypair(
                store=False, mechanism=Mechanism.EC_KEY_PAIR_GEN, capabilities=MechanismFlag.DERIVE
            )
            try:
                point = OctetString.load(public[Attribute.EC_POINT]).native
                own = ec.EllipticCurvePublicKey.from_encoded_point(peer.curve, point)
                return Ephemeral(
                    own, shared_secret(private, peer.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))
                )
            finally:
                private.destroy()
                public.destroy()

    def objects(self) -> tuple[StoredObject, ...]:
        """See :meth:`Vault.objects`."""
        with self._token.channel("read certificates and records") as channel:
            return tuple(stored for kind in ObjectKind for stored, _ in _objects(channel, kind))

    def store(self, *stored: StoredObject) -> None:
        """See :meth:`Vault.store`."""
        templates = [_attributes(each) for each in stored]
        with self._token.channel("store certificates and records", changing=True) as channel:
            for attributes in templates:
                channel.session.create_object(attributes)
        self._changed()

    def drop(self, stored: StoredObject) -> None:
        """See :meth:`Vault.drop`."""
        with self._token.channel(f"destroy a {stored.kind.value}", changing=True) as channel:
            for other, handle in _objects(channel, stored.kind):
                if other == stored:
                    handle.destroy()
        self._changed()

    def settle(self) -> None:
        """See :meth:`Vault.settle`."""
        settle(self._token.lock)

    def sweep(self, prefix: str) -> None:
        """See :meth:`Vault.sweep`: public halves whose private one was not made, or is destroyed."""
        with self._token.channel("tidy up", changing=True) as channel:
            whole = {_name(half) for half in _halves(channel, ObjectClass.PRIVATE_KEY)}
            for half in _halves(channel, ObjectClass.PUBLIC_KEY):
                name = _name(half)
                if name[0].startswith(prefix) and name not in whole:
                    half.destroy()

    def _changed(self) -> None:
        if self._durable:
            self.settle()


def _attributes(stored: StoredObject) -> dict[Attribute, Any]:
    attributes = {
        **template(_CLASSES[stored.kind], stored.label, None),
        Attribute.TOKEN: True,
        Attribute.PRIVATE: True,
        Attribute.MODIFIABLE: False,
        Attribute.VALUE: stored.value,
    }
    if stored.kind is ObjectKind.CERTIFICATE:
        attributes[Attribute.CERTIFICATE_TYPE] = CertificateType.X_509
        attributes[Attribute.SUBJECT] = x509.load_der_x509_certificate(stored.value).subject.public_bytes()
        attributes[Attribute.ID] = stored.key_id
    else:
        attributes[Attribute.APPLICATION] = _APPLICATION
    return attributes


def _objects(channel: Channel, kind: ObjectKind) -> Iterator[tuple[StoredObject, Any]]:
    """The whole objects of one kind, with their handles."""
    for handle in list(channel.session.get_objects({**template(_CLASSES[kind], None, None), Attribute.PRIVATE: True})):
        found = handle.get_attributes([Attribute.LABEL, Attribute.VALUE, Attribute.ID])
        label, value = found.get(Attribute.LABEL), found.get(Attribute.VALUE)
        if label and value:
            yield StoredObject(kind, label, value, found.get(Attribute.ID) or b""), handle


def _halves(channel: Channel, kind: ObjectClass) -> list[Any]:
    return list(channel.session.get_objects(template(kind, None, None)))


def _name(half: Any) -> tuple[str, bytes]:
    found = half.get_attributes([Attribute.LABEL, Attribute.ID])
    return found.get(Attribute.LABEL) or "", found.get(Attribute.ID) or b""
