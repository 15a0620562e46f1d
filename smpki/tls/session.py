"""A session that may be resumed."""

from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from OpenSSL import SSL


@dataclass(frozen=True)
class Session:
    """What a client keeps to resume a session.

    :param started: when the first handshake was
    :param deadline: when the session ends, whatever happens
    :param peer_chain: whom the first handshake was with
    """

    started: datetime
    deadline: datetime
    peer_chain: tuple[x509.Certificate, ...]
    native: SSL.Session = field(repr=False)
