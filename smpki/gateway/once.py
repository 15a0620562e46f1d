"""Complaints that are made once, however often there is a reason."""

from collections import OrderedDict
from collections.abc import Hashable

_MOST = 10_000


class Once:
    """Remembers what was said about whom; of very many the eldest are forgotten."""

    def __init__(self) -> None:
        self._said: OrderedDict[Hashable, str] = OrderedDict()

    def is_new(self, about: Hashable, what: str) -> bool:
        """Whether this is something else than was said last; it is said with that."""
        is_new = self._said.get(about) != what
        self._said[about] = what
        self._said.move_to_end(about)
        while len(self._said) > _MOST:
            self._said.popitem(last=False)
        return is_new

    def forget(self, about: Hashable) -> bool:
        """There is no reason any more.

        :returns: whether there was one
        """
        return self._said.pop(about, None) is not None
