"""Serial numbers of certificates."""

from collections.abc import Callable


class SerialNumbers:
    """Fresh serial numbers (RFC 5280 4.1.2.2): random, positive, always of the same length.

    The two leading bits are fixed (0, so that the number is positive, and 1, so that no octet is lost); the store
    refuses a number that was used before.

    :param random: gives that many random octets
    :param octets: length of a number, 8 to 20
    """

    def __init__(self, random: Callable[[int], bytes], octets: int) -> None:
        self._random = random
        self._octets = octets

    def next(self) -> int:
        """A number that nobody can foresee."""
        octets = self._random(self._octets)
        return int.from_bytes(bytes([octets[0] & 0x3F | 0x40]) + octets[1:], "big")
