"""ContentInfo (RFC 5652 section 3), the envelope that says what kind of request package it holds."""

from smpki.asn1 import der


def read_content_info(data: bytes) -> tuple[str, bytes]:
    """Take a ContentInfo apart.

    :param data: the ContentInfo with definite lengths, see :func:`smpki.asn1.ber.unwrap`
    :return: the content type as dotted object identifier, and the encoded content
    :raises DerError: when it is no ContentInfo
    """
    fields = der.elements(der.single(data, der.SEQUENCE, "ContentInfo").content, "ContentInfo")
    if len(fields) != 2:
        raise der.DerError("tag", f"ContentInfo has {len(fields)} fields where a type and a content are due")
    content = der.elements(der.expect(fields[1], der.context(0), "ContentInfo.content").content, "ContentInfo.content")
    if len(content) != 1:
        raise der.DerError("tag", f"ContentInfo.content holds {len(content)} elements where one is due")
    return der.object_identifier(fields[0], "ContentInfo.contentType"), content[0].encoded


def build_content_info(content_type: str, content: bytes) -> bytes:
    """A DER ContentInfo around an encoded content."""
    return der.encode(der.SEQUENCE, der.encode_object_identifier(content_type), der.encode(der.context(0), content))
