"""The fields of a SEQUENCE, taken one after another."""

from collections import deque

from smpki.asn1 import der


class Fields:
    """What a SEQUENCE holds, in its order.

    :param data: the encoded SEQUENCE
    :param of: what it is, for messages
    :param tag: its identifier octet where that is implicit
    :raises DerError: when it is none
    """

    def __init__(self, data: bytes, of: str, *, tag: int = der.SEQUENCE) -> None:
        self._of = of
        self._fields = deque(der.elements(der.single(data, tag, of).content, of))

    def next(self, tag: int, name: str) -> der.Element:
        """The next field.

        :raises DerError: ``truncated`` when there is none, ``tag`` when it is another
        """
        if not self._fields:
            raise der.DerError("truncated", f"{self._of} ends before {name}")
        return der.expect(self._fields.popleft(), tag, f"{self._of}.{name}")

    def optional(self, tag: int) -> der.Element | None:
        """The next field, if it has this tag."""
        return self._fields.popleft() if self._fields and self._fields[0].tag == tag else None

    def end(self) -> None:
        """See that no field is left.

        :raises DerError: ``tag``
        """
        if self._fields:
            raise der.DerError("tag", f"{self._of} has a field of tag 0x{self._fields[0].tag:02x} too many")
