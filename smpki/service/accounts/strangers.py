"""Names that no account has: wrong passwords make one wait as for an account, so nobody learns who has one."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime

from smpki.service.accounts.secret import digest_of
from smpki.service.accounts.store.accounts import longest_reached

_MOST = 10_000


class Strangers:
    """The names that were tried last, in memory. Threads may share it."""

    def __init__(self) -> None:
        self._tried: OrderedDict[str, tuple[int, datetime | None]] = OrderedDict()
        self._turn = threading.Lock()

    def locked_until(self, name: str) -> datetime | None:
        """As an account's: before that no password is looked at."""
        with self._turn:
            return self._tried.get(digest_of(name), (0, None))[1]

    def failed(self, name: str, lock_until: Mapping[int, datetime]) -> None:
        """Count a wrong password, see :meth:`AccountStore.failed`."""
        key = digest_of(name)
        with self._turn:
            before, until = self._tried.pop(key, (0, None))
            self._tried[key] = before + 1, longest_reached(before + 1, lock_until) or until
            if len(self._tried) > _MOST:
                self._tried.popitem(last=False)
