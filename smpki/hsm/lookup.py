"""Find keys in a token."""

from collections.abc import Iterator
from typing import Any

from pkcs11 import Attribute, KeyType, ObjectClass
from pkcs11.util.ec import encode_named_curve_parameters

from smpki.asn1.curves import CURVE_OIDS
from smpki.hsm.key import KeyInfo, KeyUse
from smpki.hsm.sessions import Channel

EC_PARAMS = {name: encode_named_curve_parameters(oid) for name, oid in CURVE_OIDS.items()}
"""CKA_EC_PARAMS by the name of the curve, as in :data:`smpki.asn1.curves.CURVES`."""

_CURVE_NAMES = {parameters: name for name, parameters in EC_PARAMS.items()}


def private_keys(
    channel: Channel, *, label: str | None = None, key_id: bytes | None = None
) -> Iterator[tuple[KeyInfo, Any]]:
    """The usable private keys, with their handles."""
    for private in list(channel.session.get_objects(template(ObjectClass.PRIVATE_KEY, label, key_id))):
        wanted = [Attribute.LABEL, Attribute.ID, Attribute.EC_PARAMS, Attribute.SIGN, Attribute.DERIVE]
        if private[Attribute.KEY_TYPE] is not KeyType.EC:
            continue
        found = private.get_attributes(wanted)
        curve = _CURVE_NAMES.get(found[Attribute.EC_PARAMS])
        if curve is not None:
            use = KeyUse(0)
            if found.get(Attribute.SIGN):
                use |= KeyUse.SIGN
            if found.get(Attribute.DERIVE):
                use |= KeyUse.DERIVE
            yield KeyInfo(found[Attribute.LABEL], found[Attribute.ID], curve, use), private


def template(kind: ObjectClass, label: str | None, key_id: bytes | None) -> dict[Attribute, object]:
    """What to look for: objects of this class, with this label and CKA_ID where they are given."""
    template: dict[Attribute, object] = {Attribute.CLASS: kind}
    if label is not None:
        template[Attribute.LABEL] = label
    if key_id is not None:
        template[Attribute.ID] = key_id
    return template
