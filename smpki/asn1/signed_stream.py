"""SignedData of any size, see :mod:`smpki.asn1.signed_data`: the content passes by, and its hash is kept."""

from cryptography.hazmat.primitives import hashes

from smpki.asn1 import der
from smpki.asn1.ber_reader import BerReader, Joined
from smpki.asn1.signed_data import CERTIFICATES, CONTENT, CRLS, Signed, read_around
from smpki.asn1.signer_info import SignedDataError, check_version, digest_hash


class SignedStream:
    """SignedData of our form, read forwards. Read :attr:`content` to its end, then :meth:`finish`.

    :param reader: SignedData comes next
    :param hashed: whether the content's hash is wanted
    :raises DerError: when it is no SignedData
    :raises SignedDataError: ``version``, ``digests``, ``algorithm``, ``content`` when it is not enclosed
    :ivar content_type: what the content is (eContentType), dotted
    :ivar content: its octets
    """

    def __init__(self, reader: BerReader, *, hashed: bool = True) -> None:
        self._reader = reader
        reader.enter(der.SEQUENCE, "SignedData")
        version = der.integer(reader.element(der.INTEGER, "SignedData.version"), "SignedData.version")
        check_version(version, "SignedData")
        digests = der.elements(reader.element(der.SET, "digestAlgorithms").content, "digestAlgorithms")
        if len(digests) != 1:
            raise SignedDataError("digests", f"{len(digests)} hashes are announced where one is due")
        self._hash = digest_hash(digests[0].encoded)
        self._hasher = hashes.Hash(self._hash)
        reader.enter(der.SEQUENCE, "encapContentInfo")
        kind = reader.element(der.OBJECT_IDENTIFIER, "eContentType")
        self.content_type = der.object_identifier(kind, "eContentType")
        if reader.tag() is None:
            raise SignedDataError("content", "the signed content is not enclosed")
        reader.enter(CONTENT, "eContent")
        tap = self._hasher.update if hashed else None
        self.content = Joined(reader.octets(der.OCTET_STRING, "eContent"), tap)

    def finish(self) -> tuple[Signed, bytes]:
        """What stands around the content, and the content's hash, for :meth:`Signed.verify_digest`.

        :raises DerError: when it is no SignedData
        :raises SignedDataError: as :func:`smpki.asn1.signed_data.read_signed_data`
        """
        reader = self._reader
        if self.content.read(1):
            raise der.DerError("trailing", "what is signed is followed by more octets")
        reader.leave("eContent")
        reader.leave("encapContentInfo")
        certificates = reader.optional(CERTIFICATES, "certificates")
        crls = reader.optional(CRLS, "crls")
        signers = reader.element(der.SET, "signerInfos")
        reader.leave("SignedData")
        return read_around(self.content_type, [self._hash], certificates, crls, signers), self._hasher.finalize()
