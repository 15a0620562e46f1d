"""What a ClientHello has to be like in the WAN and between market participants (BSI TR-03116-3 chapter 4)."""

from collections.abc import Callable, Iterator, Mapping, Set

from smpki.service.tryout.client_hello import ClientHello, Extension
from smpki.service.tryout.finding import Finding, advises, breaks, holds
from smpki.tls.suites import GROUPS, SIGNATURE_SCHEMES, SUITES, Choice, Version

_TLS12, _TLS13 = 0x0303, 0x0304
_VERSION_NAMES = {0x0300: "SSL 3.0", 0x0301: "TLS 1.0", 0x0302: "TLS 1.1", _TLS12: "TLS 1.2", _TLS13: "TLS 1.3"}
_SIGNALS = frozenset({0x00FF, 0x5600})
"""Numbers among the cipher suites that are none: of RFC 5746 and RFC 7507."""
_PSK_WITH_ECDHE = 1
_SHOWN = 40

_MUST_SUITES = {
    Version.TLS12: ("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    Version.TLS13: ("TLS_AES_128_GCM_SHA256",),
}
_MUST_GROUPS = {
    Version.TLS12: ("secp256r1", "brainpoolP256r1", "brainpoolP384r1"),
    Version.TLS13: ("brainpoolP256r1tls13", "brainpoolP384r1tls13", "secp256r1"),
}
_CLAUSES = {Version.TLS12: "BSI TR-03116-3 4.2.1", Version.TLS13: "BSI TR-03116-3 4.3.1"}
_BRAINPOOL_SCHEMES = tuple(name for name in SIGNATURE_SCHEMES if "brainpool" in name)


def judge(hello: ClientHello) -> tuple[Finding, ...]:
    """Hold a ClientHello against each rule, the broken ones first."""
    offered = {Version.TLS12: _TLS12 in hello.versions, Version.TLS13: _TLS13 in hello.versions}
    found = [*_versions(hello), *_lists(hello, {version for version, is_there in offered.items() if is_there})]
    if offered[Version.TLS12]:
        found += _tls12(hello)
    if offered[Version.TLS13]:
        found += _tls13(hello)
    order = ("breaks", "advice", "holds")
    return tuple(sorted(found, key=lambda one: order.index(one.verdict)))


def _versions(hello: ClientHello) -> Iterator[Finding]:
    clause = "BSI TR-03116-3 4.1.2"
    spoken = [number for number in hello.versions if not _is_grease(number)]
    names = _listed(spoken, lambda number: _VERSION_NAMES.get(number, f"0x{number:04x}"))
    if not {_TLS12, _TLS13} & set(spoken):
        yield breaks(clause, "Neither TLS 1.2 nor TLS 1.3 is offered: {versions}.", versions=names)
    elif Extension.SUPPORTED_VERSIONS in hello.extensions and min(spoken) < _TLS12:
        yield breaks(clause, "A version below TLS 1.2 is offered: {versions}.", versions=names)
    elif _TLS13 not in spoken:
        yield advises(clause, "TLS 1.3 is recommended, and not offered.")
    else:
        yield holds(clause, "The versions are right: {versions}.", versions=names)
    if set(hello.compression) != {0}:
        yield breaks("RFC 9325 3.3", "Compression is offered, which must be off.")
    if Extension.TRUNCATED_HMAC in hello.extensions:
        yield breaks("BSI TR-03116-3 4.2.2.2", "A truncated HMAC is offered.")


def _lists(hello: ClientHello, versions: Set[Version]) -> Iterator[Finding]:
    """Cipher suites and groups: what must be there is, and nothing else is."""
    for version in sorted(versions, key=lambda one: one.value):
        clause = _CLAUSES[version]
        name = version.value.replace("v", " ")
        missing = _missing(hello.suites, SUITES, _MUST_SUITES[version])
        if missing:
            yield breaks(
                clause,
                "{version}: cipher suites that must be offered are missing: {names}.",
                version=name,
                names=missing,
            )
        missing = _missing(hello.groups, GROUPS, _MUST_GROUPS[version])
        if missing:
            yield breaks(
                clause, "{version}: groups that must be offered are missing: {names}.", version=name, names=missing
            )
    suites = [number for number in hello.suites if number not in _SIGNALS]
    if strange := _strange(suites, SUITES):
        yield breaks(
            "BSI TR-03116-3 4.2.1, 4.3.1", "Cipher suites that may not be used are offered: {numbers}.", numbers=strange
        )
    else:
        yield holds("BSI TR-03116-3 4.2.1, 4.3.1", "No other cipher suites are offered than may be used.")
    if strange := _strange(hello.groups, GROUPS):
        yield breaks(
            "BSI TR-03116-3 4.2.1, 4.3.1", "Groups that may not be used are offered: {numbers}.", numbers=strange
        )
    else:
        yield holds("BSI TR-03116-3 4.2.1, 4.3.1", "No other groups are offered than may be used.")
    if strange := _strange(hello.signature_algorithms, SIGNATURE_SCHEMES):
        clause = "BSI TR-03116-3 4.2.2.1, 4.3.2.1"
        yield breaks(clause, "Signature algorithms that may not be used are offered: {numbers}.", numbers=strange)


def _tls12(hello: ClientHello) -> Iterator[Finding]:
    clause = "BSI TR-03116-3 4.2.2.1"
    if missing := _missing(
        hello.signature_algorithms, SIGNATURE_SCHEMES, ("ecdsa_sha256", "ecdsa_sha384", "ecdsa_sha512")
    ):
        yield breaks(
            clause,
            "{version}: signature algorithms that must be offered are missing: {names}.",
            version="TLS 1.2",
            names=missing,
        )
    if Extension.EC_POINT_FORMATS not in hello.extensions:
        yield breaks("BSI TR-03116-3 4.2.1", "The extension ec_point_formats is missing.")
    if Extension.ENCRYPT_THEN_MAC not in hello.extensions:
        yield breaks("BSI TR-03116-3 4.2.2.2", "Encrypt-then-MAC is not offered.")
    else:
        yield holds("BSI TR-03116-3 4.2.2.2", "Encrypt-then-MAC is offered.")
    if Extension.EXTENDED_MASTER_SECRET not in hello.extensions:
        yield advises("BSI TR-03116-3 4.2.2.2", "The extended master secret is recommended, and not offered.")


def _tls13(hello: ClientHello) -> Iterator[Finding]:
    clause = "BSI TR-03116-3 4.3.2.1"
    must = (*_BRAINPOOL_SCHEMES, "ecdsa_secp256r1_sha256", "ecdsa_secp384r1_sha384")
    if missing := _missing(hello.signature_algorithms, SIGNATURE_SCHEMES, must):
        yield breaks(
            clause,
            "{version}: signature algorithms that must be offered are missing: {names}.",
            version="TLS 1.3",
            names=missing,
        )
    if Extension.SIGNATURE_ALGORITHMS_CERT not in hello.extensions:
        yield breaks(clause, "The extension signature_algorithms_cert is missing.")
    elif missing := _missing(hello.signature_algorithms_cert, SIGNATURE_SCHEMES, _BRAINPOOL_SCHEMES):
        yield breaks(clause, "Signature algorithms for certificates are missing: {names}.", names=missing)
    if Extension.EARLY_DATA in hello.extensions:
        yield breaks("BSI TR-03116-3 4.3", "Early data (0-RTT) is offered.")
    if set(hello.psk_modes) - {_PSK_WITH_ECDHE}:
        yield breaks("BSI TR-03116-3 4.3", "A session may be resumed without ECDHE.")


def _missing(numbers: tuple[int, ...], table: Mapping[str, Choice], names: tuple[str, ...]) -> str:
    return ", ".join(name for name in names if table[name].code not in numbers)


def _strange(numbers: tuple[int, ...] | list[int], table: Mapping[str, Choice]) -> str:
    known = {choice.code for choice in table.values()}
    return _listed([one for one in numbers if one not in known and not _is_grease(one)], lambda one: f"0x{one:04x}")


def _is_grease(number: int) -> bool:
    """Whether a number is one that means nothing (RFC 8701)."""
    return number & 0x0F0F == 0x0A0A and number >> 8 == number & 0xFF


def _listed(numbers: list[int], name: Callable[[int], str]) -> str:
    """The first ones in words; clients can send thousands."""
    return ", ".join(map(name, numbers[:_SHOWN])) + (", …" if len(numbers) > _SHOWN else "")
