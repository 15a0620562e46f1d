"""Secrets that are told once, and of which only a digest is kept."""

import base64
import hashlib
from collections.abc import Callable

Random = Callable[[int], bytes]
"""Gives that many random octets."""

_OCTETS = 32


def new_secret(kind: str, random: Random) -> str:
    """A secret that nobody guesses, and whose kind one sees, so that scanners find it where it must not be.

    :param kind: such as ``token``
    """
    return f"smpki_{kind}_{base64.urlsafe_b64encode(random(_OCTETS)).decode().rstrip('=')}"


def digest_of(secret: str) -> str:
    """What is kept of a secret: SHA-256, hexadecimal. With its 256 random bits it needs neither salt nor slowness."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
