"""Message counters of a meter without TLS (Transmission Counter), which never wrap, repeat or go back.

BSI TR-03116-3 7.1 to 7.3. Counters belong to a key: with a new MK they start anew, and with no other cause. So the file
has them by key, and a key that it knows goes on where it was. No file, a torn one or another meter's is refused.

Over a loss of power the sender never repeats a number, since it writes down a stretch of numbers before it uses them.
The receiver's value may be 12 hours older than the loss at most (7.3, note 5). By default it is not older at all.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from smpki.errors import GatewayError
from smpki.gateway.durable import DurableFile
from smpki.gateway.lmn_keys import HIGHEST_COUNTER, MasterKey

OLDEST_STORED = timedelta(hours=12)
"""How far a stored counter may lie back when power fails (BSI TR-03116-3 7.3, note 5)."""

_NONE = -1  # before the first message; 0 is a counter
_NEW_KEY = "give the meter a new key; an older copy of the file would send and accept numbers again"
_Keys = dict[str, dict[str, int]]


class MeterCounters:
    """What was sent to and received from one meter under one key; used from one thread.

    The gateway and the meter each have their own.

    :param memory: the meter's file, of no other meter
    :param new_key: begin: the master key was just made and never used. Written down when this returns
    :param clock: the time now, timezone-aware
    :param store_within: how long the counter of a received message may be in memory only: 0 to 12 hours. What a loss of
        power takes from there counts again if somebody repeats it, so leave it at 0 where the file can bear it. With
        anything above 0, call :meth:`store` when :attr:`store_due` has come, and before an orderly end
    :param stretch: so many numbers are written down as used before the first of them is
    :raises GatewayError: ``lmn.counter.key_used`` with ``new_key``: the file knows this key; ``lmn.counter.missing``,
        ``.key_unknown`` without; ``lmn.counter.memory``, ``.store_within``, ``durable.*``. Nothing is begun anew in
        their place, since all messages of the past would be accepted again
    """

    def __init__(
        self,
        memory: DurableFile,
        key: MasterKey,
        *,
        new_key: bool = False,
        clock: Callable[[], datetime],
        store_within: timedelta = timedelta(0),
        stretch: int = 16,
    ) -> None:
        if not timedelta(0) <= store_within <= OLDEST_STORED:
            message = f"a received counter can't stay unwritten for {store_within}"
            raise _refused("store_within", message, "give 0 to 12 hours (BSI TR-03116-3 7.3, note 5)")
        self._memory = memory
        self._key = key.check_value
        self._clock = clock
        self._store_within = store_within
        self._stretch = stretch
        self._unwritten_since: datetime | None = None
        self._keys = self._begin() if new_key else self._resume()
        self._received = self._keys[self._key]["received"]
        self._sent = self._reserved = self._keys[self._key]["sent"]

    def _begin(self) -> _Keys:
        keys = _recall(self._memory) or {}
        if self._key in keys:
            hint = "go on with this key; only a new one begins anew (BSI TR-03116-3 7.1)"
            raise _refused("key_used", "this key has been in use, its counters can't start anew", hint, self._memory)
        keys[self._key] = {"received": _NONE, "sent": _NONE}
        self._memory.write({"keys": keys})
        return keys

    def _resume(self) -> _Keys:
        keys = _recall(self._memory)
        if keys is None:
            raise _refused("missing", "there is no file with the meter's counters", _NEW_KEY, self._memory)
        if self._key not in keys:
            raise _refused("key_unknown", "the file has no counters of this key", _NEW_KEY, self._memory)
        return keys

    def take(self) -> int:
        """The counter for the next message to send; when this returns, power may fail and it is never taken again.

        It lies above all sent and all received before (BSI TR-03116-3 7.1).

        :raises GatewayError: ``lmn.counter.exhausted``; ``durable.*``: then nothing may be sent
        """
        counter = max(self._sent, self._received) + 1
        if counter > HIGHEST_COUNTER:
            raise _refused("exhausted", "all counters of this key have been used", "give the meter a new key")
        if counter > self._reserved:
            reserved = min(counter + self._stretch - 1, HIGHEST_COUNTER)
            self._write(received=self._received, sent=reserved)
            self._reserved = reserved
        self._sent = counter
        return counter

    def require_new(self, counter: int) -> None:
        """Check a counter that a message claims, before anything costlier.

        :raises GatewayError: ``lmn.counter.replayed``
        """
        if counter <= self._received:
            message = f"counter {counter} is not above {self._received}, the last accepted"
            raise _refused("replayed", message, "the message is repeated or old; it counts once")

    def accept(self, counter: int) -> None:
        """Take the counter of a message that has proven authentic; only now the message may be acted upon.

        :raises GatewayError: ``lmn.counter.replayed``, ``.range``; ``durable.*``: then it was not accepted
        """
        self.require_new(counter)
        if counter > HIGHEST_COUNTER:
            raise _refused("range", f"counter {counter} has more than 32 bits", "see to the meter")
        now = self._clock()
        since = self._unwritten_since or now
        if now < since or now - since >= self._store_within:  # a clock that was set back proves nothing
            self._write(received=counter, sent=self._reserved)
        else:
            self._unwritten_since = since
        self._received = counter

    @property
    def store_due(self) -> datetime | None:
        """When :meth:`store` has to be called; ``None`` while all is written."""
        return None if self._unwritten_since is None else self._unwritten_since + self._store_within

    def store(self) -> None:
        """Write down what was received.

        :raises GatewayError: ``durable.*``
        """
        if self._unwritten_since is not None:
            self._write(received=self._received, sent=self._reserved)

    def _write(self, *, received: int, sent: int) -> None:
        keys = {**self._keys, self._key: {"received": received, "sent": sent}}
        self._memory.write({"keys": keys})
        self._keys = keys
        self._unwritten_since = None


def _recall(memory: DurableFile) -> _Keys | None:
    """The counters by the check value of their key; ``None`` when the file was never written.

    :raises GatewayError: ``lmn.counter.memory``, ``durable.unreadable``
    """
    content = memory.read()
    if content is None:
        return None
    keys = content.get("keys")
    if not isinstance(keys, dict) or not all(map(_is_record, keys.values())):
        raise _refused("memory", "these are no counters of a meter", _NEW_KEY, memory)
    return keys


def _is_record(value: object) -> bool:
    """Whether this is ``{"received": n, "sent": n}``."""
    return (
        isinstance(value, Mapping)
        and value.keys() == {"received", "sent"}
        and all(type(each) is int and _NONE <= each <= HIGHEST_COUNTER for each in value.values())
    )


def _refused(rule: str, message: str, hint: str, memory: DurableFile | None = None) -> GatewayError:
    return GatewayError(f"lmn.counter.{rule}", message, where=str(memory.path) if memory else "", hint=hint)
