"""How fast are contents protected and TLS handshakes made, compared with the cryptography alone?

In turns, on one core, keys in memory: messages of 1 kB, against one key generation, one ECDH and one signature each
(opening: one ECDH and one verification); a content of 10 MB, against one AES-GCM pass and one SHA-256 pass over the
same octets; mutual TLS handshakes, see gateway_tls.py. The ratios are medians over the rounds.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from common import machine, parser, print_json, print_table
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from gateway_tls import tls_handshakes

from smpki.gateway import cms

_CURVE = ec.BrainpoolP256R1()
_SHA256 = ec.ECDSA(hashes.SHA256())
_SMALL, _LARGE = 1000, 10_000_000  # octets
_MESSAGES, _PASSES = 100, 5  # in a round
_QUICK, _LONG = 7, 25  # rounds

_USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)
_KINDS = {
    "cms_of_limit": ("messages of 1 kB protected", _MESSAGES),
    "cms_open_of_limit": ("messages of 1 kB opened", _MESSAGES),
    "cms_bulk": ("10 MB protected", _PASSES),
    "cms_bulk_open": ("10 MB opened", _PASSES),
}

Work = Callable[[], object]


class _Bench:
    """Sender and recipient, their messages, and what the cryptography alone is."""

    def __init__(self) -> None:
        self._sig, self._enc = ec.generate_private_key(_CURVE), ec.generate_private_key(_CURVE)
        sig, enc = _certificate(self._sig, "digital_signature"), _certificate(self._enc, "key_agreement")
        self._sends: dict[str, Any] = {
            "sender_certificate": sig,
            "sender_key": self._sig,
            "recipient_certificate": enc,
        }
        self._opens: dict[str, Any] = {
            "recipient_certificate": enc,
            "recipient_key": self._enc,
            "sender_certificate": sig,
        }
        self._small, self._large = os.urandom(_SMALL), os.urandom(_LARGE)
        self._small_message, self._large_message = self._protect(self._small), self._protect(self._large)
        self._signature = self._sig.sign(self._small, _SHA256)

    def pairs(self) -> Mapping[str, tuple[Work, Work]]:
        """What is measured, and against what."""
        return {
            "cms_of_limit": (lambda: self._protect(self._small), self._limit),
            "cms_open_of_limit": (lambda: self._open(self._small_message), self._open_limit),
            "cms_bulk": (lambda: self._protect(self._large), self._bulk_limit),
            "cms_bulk_open": (lambda: self._open(self._large_message), self._bulk_limit),
        }

    def check(self) -> None:
        """See that the messages are what they should be."""
        if self._open(self._large_message) != self._large or self._open(self._small_message) != self._small:
            raise SystemExit("a message does not open")

    def _protect(self, content: bytes) -> bytes:
        return cms.protect(content, **self._sends)

    def _open(self, message: bytes) -> bytes:
        return cms.open(message, **self._opens).content

    def _limit(self) -> None:
        ephemeral = ec.generate_private_key(_CURVE)
        ephemeral.exchange(ec.ECDH(), self._enc.public_key())
        self._sig.sign(self._small, _SHA256)

    def _open_limit(self) -> None:
        self._enc.exchange(ec.ECDH(), self._sig.public_key())
        self._sig.public_key().verify(self._signature, self._small, _SHA256)

    def _bulk_limit(self) -> None:
        AESGCM(bytes(16)).encrypt(bytes(12), self._large, None)
        hasher = hashes.Hash(hashes.SHA256())
        hasher.update(self._large)
        hasher.finalize()


def _certificate(key: ec.EllipticCurvePrivateKey, usage: str) -> x509.Certificate:
    name, start = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Benchmark")]), datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + timedelta(days=1))
    builder = builder.add_extension(x509.KeyUsage(**{each: each == usage for each in _USAGES}), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return builder.sign(key, hashes.SHA256())


def contents(rounds: int) -> dict[str, dict[str, float]]:
    """For each kind how often a second it is done, and the cryptography alone, and what part of that ours is."""
    bench = _Bench()
    bench.check()
    pairs = bench.pairs()
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in pairs}
    for _ in range(rounds):
        for name, (ours, limit) in pairs.items():
            count = _KINDS[name][1]
            taken[name].append((_seconds(ours, count), _seconds(limit, count)))
    return {
        name: {
            "ours": round(1 / statistics.median(mine for mine, _ in those), 1),
            "limit": round(1 / statistics.median(bare for _, bare in those), 1),
            "ratio": round(statistics.median(bare / mine for mine, bare in those), 3),
        }
        for name, those in taken.items()
    }


def _seconds(work: Work, count: int) -> float:
    """The time of one, of several in a row."""
    begin = time.perf_counter()
    for _ in range(count):
        work()
    return (time.perf_counter() - begin) / count


def main() -> None:
    """Measure and print."""
    chosen = parser("How fast contents are protected and TLS handshakes made, compared with cryptography.").parse_args()
    begin, rounds = time.monotonic(), _QUICK if chosen.quick else _LONG
    with tempfile.TemporaryDirectory() as folder:
        about = machine(Path(folder))
    protected, handshakes = contents(rounds), tls_handshakes(rounds)
    result = {
        "benchmark": "gateway",
        "ratios": {
            **{name: one["ratio"] for name, one in protected.items()},
            "tls_handshake": handshakes["exact"]["ratio"],
            "tls_handshake_chain": handshakes["chain"]["ratio"],
            "tls_handshake_chain_anew": handshakes["chain_anew"]["ratio"],
        },
        "per_second": {name: {"ours": one["ours"], "limit": one["limit"]} for name, one in protected.items()},
        "handshakes_per_second": handshakes,
        "rounds": rounds,
        "machine": about,
        "seconds": round(time.monotonic() - begin, 1),
    }
    if chosen.json:
        print_json(result)
        return
    rows = [
        (_KINDS[name][0], f"{one['limit']:.0f}", f"{one['ours']:.0f}", f"{one['ratio']:.2f}")
        for name, one in protected.items()
    ]
    words = {"exact": "one certificate", "chain": "a chain that is known", "chain_anew": "a chain anew"}
    for name, one in handshakes.items():
        rows.append((f"handshakes, {words[name]}", f"{one['bare']:.0f}", f"{one['ours']:.0f}", f"{one['ratio']:.2f}"))
    print_table(("a second", "cryptography alone", "ours", "of that"), rows)
    print(f"\n{about['cpus']} processors, load {about['load']} at the start; medians of {rounds} rounds.")


if __name__ == "__main__":
    main()
