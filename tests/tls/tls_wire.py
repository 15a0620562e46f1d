"""TLS as octets: records, the messages in clear, and a ClientHello of one's own making."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

ALERT, HANDSHAKE, APPLICATION_DATA = 21, 22, 23
CLIENT_HELLO, SERVER_HELLO, CERTIFICATE, CERTIFICATE_REQUEST = 1, 2, 11, 13
SERVER_NAME, GROUPS, POINT_FORMATS, SIGNATURE_ALGORITHMS, ALPN = 0, 10, 11, 13, 16
ENCRYPT_THEN_MAC, EXTENDED_MASTER_SECRET, SESSION_TICKET, EARLY_DATA = 22, 23, 35, 42
SUPPORTED_VERSIONS, PSK_MODES, AUTHORITIES, SIGNATURE_ALGORITHMS_CERT, KEY_SHARE = 43, 45, 47, 50, 51


@dataclass(frozen=True)
class Hello:
    """A ClientHello or ServerHello; the latter has one suite and one compression."""

    version: int
    random: bytes
    session_id: bytes
    suites: list[int]
    compressions: bytes
    extensions: dict[int, bytes]

    def numbers(self, extension: int, head: int = 2) -> list[int]:
        """The 16-bit numbers of an extension that is a vector of them, with ``head`` octets of length."""
        return numbers(self.extensions[extension][head:])

    @property
    def key_shares(self) -> list[int]:
        """The groups that a client sends key shares for."""
        rest, found = self.extensions[KEY_SHARE][2:], []
        while rest:
            found.append(int.from_bytes(rest[:2]))
            rest = rest[4 + int.from_bytes(rest[2:4]) :]
        return found


def numbers(data: bytes) -> list[int]:
    return [int.from_bytes(data[at : at + 2]) for at in range(0, len(data), 2)]


def vector(data: bytes, head: int = 2) -> bytes:
    return len(data).to_bytes(head) + data


def record(kind: int, content: bytes, version: int = 0x0303) -> bytes:
    return bytes([kind]) + version.to_bytes(2) + vector(content)


def records(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Content type and content of each record."""
    while data:
        end = 5 + int.from_bytes(data[3:5])
        assert len(data) >= end, "half a record"
        yield data[0], data[5:end]
        data = data[end:]


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and body of each handshake message, as long as they are in clear."""
    clear = b""
    for kind, content in records(data):
        if kind != HANDSHAKE:
            break
        clear += content
    while len(clear) >= 4 and len(clear) >= (end := 4 + int.from_bytes(clear[1:4])):
        yield clear[0], clear[4:end]
        clear = clear[end:]


def read_hello(data: bytes) -> Hello:
    """The first message of what one side sends."""
    kind, body = next(messages(data))
    assert kind in (CLIENT_HELLO, SERVER_HELLO)
    version, random, rest = int.from_bytes(body[:2]), body[2:34], body[34:]
    session_id, rest = rest[1 : 1 + rest[0]], rest[1 + rest[0] :]
    if kind == CLIENT_HELLO:
        end = 2 + int.from_bytes(rest[:2])
        suites, rest = numbers(rest[2:end]), rest[end:]
        compressions, rest = rest[1 : 1 + rest[0]], rest[1 + rest[0] :]
    else:
        suites, compressions, rest = numbers(rest[:2]), rest[2:3], rest[3:]
    extensions, rest = {}, rest[2:]
    while rest:
        end = 4 + int.from_bytes(rest[2:4])
        extensions[int.from_bytes(rest[:2])] = rest[4:end]
        rest = rest[end:]
    return Hello(version, random, session_id, suites, compressions, extensions)


def client_hello(
    suites: Sequence[int], extensions: dict[int, bytes], *, version: int = 0x0303, compressions: bytes = b"\0"
) -> bytes:
    """A ClientHello that nobody's library would make, in a record."""
    octets = b"".join(number.to_bytes(2) + vector(body) for number, body in extensions.items())
    chosen = b"".join(suite.to_bytes(2) for suite in suites)
    body = version.to_bytes(2) + os.urandom(32) + b"\0" + vector(chosen) + vector(compressions, 1) + vector(octets)
    return record(HANDSHAKE, bytes([CLIENT_HELLO]) + vector(body, 3), 0x0301)


def with_extension(flight: bytes, number: int, body: bytes) -> bytes:
    """The same flight of a server with an extension more in its ServerHello, which has a record to itself."""
    end = 5 + int.from_bytes(flight[3:5])
    hello, rest = flight[9:end], flight[end:]
    place = 35 + hello[34] + 3
    extensions = hello[place + 2 :] + number.to_bytes(2) + vector(body)
    hello = hello[:place] + vector(extensions)
    return record(HANDSHAKE, bytes([SERVER_HELLO]) + vector(hello, 3)) + rest
