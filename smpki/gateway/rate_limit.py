"""How often something may be done that a stranger can cause."""

from collections.abc import Callable


class RateLimit:
    """So many a second on average, and so many at once.

    :param per_second: above 0
    :param burst: at once, after a pause; at least 1
    :param monotonic: seconds, such as ``time.monotonic``
    """

    def __init__(self, per_second: float, burst: int, monotonic: Callable[[], float]) -> None:
        self._per_second, self._burst, self._monotonic = per_second, burst, monotonic
        self._left = float(burst)
        self._counted_at = monotonic()

    def take(self) -> bool:
        """Whether it may be done now; if so, it counts as done."""
        now = self._monotonic()
        self._left = min(self._burst, self._left + (now - self._counted_at) * self._per_second)
        self._counted_at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
