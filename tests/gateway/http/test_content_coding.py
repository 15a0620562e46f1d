"""Bodies that are compressed, rightly or not."""

import gzip
import zlib

import pytest

from smpki.gateway.content_coding import compress, decode
from smpki.gateway.http_refusal import HttpRefusal

BODY = b'{"reading": 123456}' * 50


def bare(data: bytes) -> bytes:
    engine = zlib.compressobj(wbits=-15)
    return engine.compress(data) + engine.flush()


def zipped(data: bytes) -> bytes:
    """By gzip, without the time: it is part of a test's name."""
    return gzip.compress(data, mtime=0)


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("", BODY),
        ("identity", BODY),
        ("gzip", zipped(BODY)),
        ("X-GZIP", zipped(BODY)),
        (" zlib ", zipped(BODY)),
        ("zlib", zlib.compress(BODY)),
        ("deflate", zlib.compress(BODY)),
        ("deflate", bare(BODY)),
        ("gzip", zipped(BODY[:100]) + zipped(BODY[100:])),
    ],
)
def test_every_usual_coding_is_taken(coding: str, body: bytes) -> None:
    assert decode(body, coding, len(BODY)) == BODY


def test_nothing_compressed_is_nothing() -> None:
    assert decode(gzip.compress(b""), "gzip", 0) == b""


def test_what_is_sent_is_gzip_and_the_same_each_time() -> None:
    assert gzip.decompress(compress(BODY)) == BODY
    assert compress(BODY) == compress(BODY)
    assert compress(BODY)[4:8] == bytes(4)  # no time of day


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zlib"])
def test_what_unpacks_to_too_much_is_refused_before_it_is_unpacked(coding: str) -> None:
    bombs = {"gzip": gzip.compress(bytes(10**7)), "deflate": bare(bytes(10**7)), "zlib": zlib.compress(bytes(10**7))}
    with pytest.raises(HttpRefusal) as caught:
        decode(bombs[coding], coding, 10**5)
    assert (caught.value.status, caught.value.code) == (413, "http.body.inflated")
    assert decode(gzip.compress(bytes(10)), "gzip", 10) == bytes(10)
    with pytest.raises(HttpRefusal, match="too large"):
        decode(gzip.compress(bytes(10)), "gzip", 9)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        BODY,
        zipped(BODY)[:-1],
        zipped(BODY)[:-8] + bytes(8),
        zipped(BODY) + b"more",
        zipped(b"") * 11,
    ],
)
@pytest.mark.parametrize("coding", ["gzip", "deflate", "zlib"])
def test_what_is_not_so_coded_is_refused(body: bytes, coding: str) -> None:
    with pytest.raises(HttpRefusal) as caught:
        decode(body, coding, 10**6)
    assert (caught.value.status, caught.value.code) == (422, "http.content_encoding.body")


@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "gzip,", "x\r\ny"])
def test_other_codings_are_refused_and_those_that_are_taken_named(coding: str) -> None:
    with pytest.raises(HttpRefusal) as caught:
        decode(BODY, coding, 10**6)
    assert (caught.value.status, caught.value.code) == (415, "http.content_encoding.unknown")
    assert caught.value.fields == {"accept-encoding": "gzip, x-gzip, deflate, zlib"}
