"""The one rule of resumption in TLS 1.2 that OpenSSL leaves to us."""

from collections.abc import Iterator

_HEADER = 5  # octets before a record's content
_HANDSHAKE = 22  # content type of a record
_SUPPORTED_VERSIONS = 43  # in a ServerHello: it is TLS 1.3, which names the server in each handshake
_OF_RFC_6066 = frozenset(range(6))  # server_name to status_request


class ResumedHello:
    """Reads the ServerHello along with OpenSSL when a client has offered to resume a session.

    A server that resumes must not send extensions of RFC 6066 (REQ.TA.TLS.Handshake.110, RFC 6066 1.1). The records are
    handed on one by one, so that the handshake can be given up between the ServerHello and what follows it.
    """

    def __init__(self) -> None:
        self._kept = b""
        self._hello = b""
        self._done = False

    def parts(self, data: bytes) -> Iterator[bytes]:
        """What came, in parts: whole records up to the one that ends the ServerHello, then all the rest."""
        self._kept += data
        while not self._done and len(self._kept) >= _HEADER:
            end = _HEADER + int.from_bytes(self._kept[3:_HEADER])
            if len(self._kept) < end:
                return
            record, self._kept = self._kept[:end], self._kept[end:]
            self._hello += record[_HEADER:]
            self._done = record[0] != _HANDSHAKE or len(self._hello) >= 4 + int.from_bytes(self._hello[1:4])
            yield record
        if self._done:
            rest, self._kept = self._kept, b""
            yield rest

    def forbidden(self) -> frozenset[int]:
        """The extensions of a ServerHello that OpenSSL has read and found well-formed, but that may not be there."""
        if not self._done:
            return frozenset()
        at = 4 + 2 + 32  # after version and random
        at += 1 + self._hello[at] + 2 + 1  # session, cipher suite and compression
        end = at + 2 + int.from_bytes(self._hello[at : at + 2])
        at += 2
        numbers = set()
        while at < end:
            numbers.add(int.from_bytes(self._hello[at : at + 2]))
            at += 4 + int.from_bytes(self._hello[at + 2 : at + 4])
        return frozenset() if _SUPPORTED_VERSIONS in numbers else _OF_RFC_6066 & numbers
