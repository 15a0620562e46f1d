"""CMS CompressedData (RFC 3274) of plain data, by zlib."""

from collections.abc import Iterator

from smpki.asn1 import der
from smpki.asn1.ber_reader import BerReader, Octets
from smpki.asn1.oids import COMPRESSED_DATA, DATA, ZLIB

_VERSION = 0
_ALGORITHM = der.encode(der.SEQUENCE, der.encode_object_identifier(ZLIB))


class CompressedError(ValueError):
    """CompressedData that is well-formed, but not of plain data by zlib."""


class CompressedStream:
    """CompressedData, read forwards. Read :attr:`content` to its end, then :meth:`finish`.

    :param reader: CompressedData comes next, bare or in a ContentInfo of its own
    :raises DerError: when it is none
    :raises CompressedError: of another version, algorithm or content type
    :ivar content: the compressed octets in pieces
    """

    def __init__(self, reader: BerReader) -> None:
        self._reader = reader
        reader.enter(der.SEQUENCE, "CompressedData")
        self._wrapped = reader.tag() == der.OBJECT_IDENTIFIER
        if self._wrapped:
            _expect_type(reader, COMPRESSED_DATA)
            reader.enter(der.context(0), "content")
            reader.enter(der.SEQUENCE, "CompressedData")
        version = der.integer(reader.element(der.INTEGER, "version"), "CompressedData.version")
        algorithm = reader.element(der.SEQUENCE, "compressionAlgorithm").encoded
        if version != _VERSION or algorithm != _ALGORITHM:
            raise CompressedError("CompressedData is not of version 0 and by zlib")
        reader.enter(der.SEQUENCE, "encapContentInfo")
        _expect_type(reader, DATA)
        reader.enter(der.context(0), "eContent")
        self.content: Iterator[Octets] = reader.octets(der.OCTET_STRING, "eContent")

    def finish(self) -> None:
        """See that the structure ends as it should.

        :raises DerError: when it does not
        """
        for name in ("eContent", "encapContentInfo", "CompressedData"):
            self._reader.leave(name)
        if self._wrapped:
            self._reader.leave("content")
            self._reader.leave("ContentInfo")


def frame_compressed(length: int) -> bytes:
    """What stands before the compressed octets in DER CompressedData; nothing stands behind them.

    :param length: the number of these octets
    """
    octets = der.header(der.OCTET_STRING, length)
    explicit = der.header(der.context(0), len(octets) + length) + octets
    kind = der.encode_object_identifier(DATA)
    content = der.header(der.SEQUENCE, len(kind) + len(explicit) + length) + kind + explicit
    before = der.encode_integer(_VERSION) + _ALGORITHM + content
    return der.header(der.SEQUENCE, len(before) + length) + before


def _expect_type(reader: BerReader, due: str) -> None:
    oid = der.object_identifier(reader.element(der.OBJECT_IDENTIFIER, "contentType"), "contentType")
    if oid != due:
        raise CompressedError(f"the content has type {oid} where {due} is due")
