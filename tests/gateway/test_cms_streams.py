"""Files of any size, in small memory; and every length that a header can have."""

import io
import itertools
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.errors import GatewayError
from smpki.gateway import cms
from smpki.gateway.content_suite import CBC_CMAC, GCM, Suite

MEBIBYTE = 2**20


class Pair:
    """Sender and recipient."""

    def __init__(self, make_certificate: Callable[..., x509.Certificate]) -> None:
        sig, enc = ec.generate_private_key(ec.BrainpoolP256R1()), ec.generate_private_key(ec.BrainpoolP256R1())
        sig_certificate = make_certificate(sig.public_key())
        enc_certificate = make_certificate(enc.public_key(), ("key_agreement",))
        self.sends: dict[str, Any] = {
            "sender_certificate": sig_certificate,
            "sender_key": sig,
            "recipient_certificate": enc_certificate,
        }
        self.opens: dict[str, Any] = {
            "recipient_certificate": enc_certificate,
            "recipient_key": enc,
            "sender_certificate": sig_certificate,
        }


@pytest.fixture(scope="module")
def pair(make_certificate: Callable[..., x509.Certificate]) -> Pair:
    return Pair(make_certificate)


class Measured:
    """How much memory Python has asked for at most."""

    def __enter__(self) -> "Measured":
        tracemalloc.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("suite", [GCM, CBC_CMAC], ids=["gcm", "cbc-cmac"])
def test_a_large_file_in_small_memory(pair: Pair, suite: Suite, compress: bool, tmp_path: Path) -> None:
    block = os.urandom(1000) + bytes(MEBIBYTE)
    source = tmp_path / "content"
    with source.open("wb") as file:
        for _ in range(24):
            file.write(block)
    protection = cms.Protection(suite, compress)

    def scratch() -> BinaryIO:
        return (tmp_path / "scratch").open("w+b")

    with Measured() as measured:
        with source.open("rb") as content, (tmp_path / "message").open("w+b") as message:
            cms.protect_stream(content, message, **pair.sends, protection=protection, scratch=scratch)
        with (tmp_path / "message").open("rb") as message, (tmp_path / "opened").open("w+b") as opened:
            assert cms.open_stream(message, opened, **pair.opens) == protection
    assert (tmp_path / "opened").read_bytes() == source.read_bytes()
    assert measured.peak < 3 * MEBIBYTE


def test_a_content_without_end_is_bounded_where_it_is_compressed(pair: Pair, tmp_path: Path) -> None:
    protection = cms.Protection(compress=True)
    with (tmp_path / "message").open("w+b") as message:
        cms.protect_stream(io.BytesIO(bytes(8 * MEBIBYTE)), message, **pair.sends, protection=protection)
        with (tmp_path / "opened").open("w+b") as opened, pytest.raises(GatewayError) as refused:
            cms.open_stream(message, opened, **pair.opens, limit=MEBIBYTE)
    assert refused.value.code == "cms.unopened"
    assert (tmp_path / "opened").stat().st_size <= MEBIBYTE


def test_lengths_around_those_where_headers_grow(pair: Pair) -> None:
    """Every level of a message has its own header: content, envelope, signature and what is around them."""
    protection = cms.Protection(enclose=False)
    frame = len(cms.protect(b"", **pair.sends, protection=protection))
    for length in (*range(100, 136), *range(240, 262), *range(65_536 - frame - 8, 65_536 - frame + 8)):
        content = os.urandom(length)
        message = cms.protect(content, **pair.sends, protection=protection)
        assert cms.open(message, **pair.opens).content == content


def test_a_signature_shorter_than_the_room_for_it(pair: Pair) -> None:
    """Where a message is just so long that one octet of signature makes its header shorter, all of it moves."""
    signer = Signing(pair.sends["sender_key"])
    sends = pair.sends | {"sender_key": signer}
    signer.length = 72
    fixed = 65_536 + 4 - len(cms.protect(bytes(65_000), **sends)) + 65_000
    found = set()
    for length in range(fixed - 12, fixed + 4):
        for signer.length in (70, 72):
            target = io.BytesIO(b"old content" * 10_000)
            cms.protect_stream(io.BytesIO(bytes(length)), target, **sends)
            message = target.getvalue()
            assert cms.open(message, **pair.opens).content == bytes(length)
            found.add(message[1])
    assert found == {0x82, 0x83}


class Signing(ec.EllipticCurvePrivateKey):
    """A key whose signatures are as long as is wanted."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        self.length = 0

    def sign(self, data: Any, signature_algorithm: Any) -> bytes:
        return next(
            signature
            for _ in itertools.count()
            if len(signature := self._key.sign(data, signature_algorithm)) == self.length
        )

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._key.public_key()

    def exchange(self, algorithm: Any, peer_public_key: Any) -> bytes:
        raise NotImplementedError

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._key.curve

    @property
    def key_size(self) -> int:
        return self._key.key_size

    def private_numbers(self) -> Any:
        raise NotImplementedError

    def private_bytes(self, encoding: Any, format: Any, encryption_algorithm: Any) -> bytes:
        raise NotImplementedError

    def __copy__(self) -> "Signing":
        return self

    def __deepcopy__(self, memo: object) -> "Signing":
        return self


def test_a_source_that_gets_shorter(pair: Pair) -> None:
    class Shrinking(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return b""

    with pytest.raises(OSError, match="shorter"):
        cms.protect_stream(Shrinking(b"content"), io.BytesIO(), **pair.sends)
