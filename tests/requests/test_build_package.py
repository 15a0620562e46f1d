from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.asn1 import der
from smpki.asn1.content_info import read_content_info
from smpki.errors import RequestError
from smpki.requests.build import RequestedNames, build_initial_package
from smpki.requests.keys import KeyTriple
from smpki.requests.read import read_package, verify_package

if TYPE_CHECKING:
    from smpki.hsm.token import Token

Forge = Any  # conftest.Forge

NAMES = RequestedNames("pki@beispiel.de", "https://maco.beispiel.de", ("maco.beispiel.de", "api.beispiel.de"))


@pytest.mark.parametrize("hash", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
def test_what_is_built_is_read(forge: Forge, hash: hashes.HashAlgorithm) -> None:
    package = read_package(build_initial_package(forge.subject, forge.keys, NAMES, hash=hash))
    verify_package(package)
    assert package.subject == forge.subject
    for request in package.requests:
        assert request.public_key == getattr(forge.keys, request.purpose).public_key()
        assert request.hash.name == hash.name
        key_id = request.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        assert request.request_id == int.from_bytes(key_id.digest, "big")
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.RFC822Name) == ["pki@beispiel.de"]
        assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["https://maco.beispiel.de"]
        assert names.get_values_for_type(x509.DNSName) == (list(NAMES.dns) if request is package.tls else [])


def test_no_names_no_extension(forge: Forge) -> None:
    package = read_package(build_initial_package(forge.subject, forge.keys, RequestedNames(dns=("maco.beispiel.de",))))
    has_names = [
        any(isinstance(extension.value, x509.SubjectAlternativeName) for extension in request.extensions)
        for request in package.requests
    ]
    assert has_names == [True, False, False]


def test_built_like_the_real_package(sample: bytes, forge: Forge) -> None:
    """The same wishes give the same octets as the real package, but for the keys and what follows from them."""
    real = read_package(sample)
    names = RequestedNames(
        "test@company.de", "https://maco.company.de:11111/maco", dns=("maco.company.de", "localhost")
    )
    built = read_package(build_initial_package(real.subject, forge.keys, names))

    def template_of(request: Any) -> list[bytes]:
        _, template = der.elements(der.single(request.signed, der.SEQUENCE, "it").content, "it")
        subject, _, extensions = der.elements(template.content, "it")
        return [subject.encoded, *(extension.encoded for extension in der.elements(extensions.content, "it")[1:])]

    for mine, theirs in zip(built.requests, real.requests, strict=True):
        assert mine.index == theirs.index
        assert template_of(mine) == template_of(theirs)
        assert mine.public_key_info[:-64] == theirs.public_key_info[:-64]


def test_it_is_der_throughout(forge: Forge) -> None:
    content_type, messages = read_content_info(build_initial_package(forge.subject, forge.keys, NAMES))
    assert content_type == "0.4.0.127.0.7.4.1.1.1"
    assert len(der.elements(der.single(messages, der.SEQUENCE, "it").content, "it")) == 3


def test_token_keys_sign_too(forge: Forge, token: "Token") -> None:
    from smpki.hsm.key import KeyUse

    curve = ec.BrainpoolP256R1()
    uses = {"tls": KeyUse.SIGN, "sig": KeyUse.SIGN, "enc": KeyUse.SIGN | KeyUse.DERIVE}
    keys = KeyTriple(**{name: token.generate(name, curve, use) for name, use in uses.items()})
    package = read_package(build_initial_package(forge.subject, keys, NAMES))
    verify_package(package)
    assert package.sig.public_key == keys.sig.public_key()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"names": RequestedNames(email="müller@beispiel.de")}, "request.names.invalid"),
        ({"names": RequestedNames(uri="https://müller.de")}, "request.names.invalid"),
        ({"names": RequestedNames(dns=("müller.de",))}, "request.names.invalid"),
        ({"hash": hashes.SHA224()}, "request.proof_of_possession.algorithm"),
        ({"hash": hashes.SHA3_256()}, "request.proof_of_possession.algorithm"),
    ],
)
def test_refuses(forge: Forge, change: dict[str, Any], code: str) -> None:
    with pytest.raises(RequestError) as refused:
        build_initial_package(**{"subject": forge.subject, "keys": forge.keys, "names": NAMES, **change})
    assert refused.value.code == code


def test_refuses_keys_that_no_ca_would_take(forge: Forge) -> None:
    one, two = forge.keys.tls, forge.keys.sig
    odd = ec.derive_private_key(7, ec.SECP256K1())
    for keys, code in (
        (KeyTriple(one, two, one), "request.public_key.duplicate"),
        (KeyTriple(one, two, odd), "request.public_key.curve"),
    ):
        with pytest.raises(RequestError) as refused:
            build_initial_package(forge.subject, keys, NAMES)
        assert refused.value.code == code
