"""Handshakes of our own two ends."""

from dataclasses import replace

import pytest
from smpki.tls.connection import Data, Established
from smpki.tls.endpoint import Endpoint
from smpki.tls.peers import exact_match
from smpki.tls.profile import WAN_CLIENT, WAN_SERVER, Version

VERSIONS = [frozenset({Version.TLS12}), frozenset({Version.TLS13})]


@pytest.mark.parametrize("versions", VERSIONS, ids=["1.2", "1.3"])
def test_both_sides_agree(versions, identity, clock, pump):
    ours, theirs = identity("gateway"), identity("administrator")
    check_theirs, check_ours = (exact_match([one.certificates[0]], now=clock) for one in (theirs, ours))
    client = Endpoint(replace(WAN_CLIENT, versions=versions), ours, check_theirs, clock=clock).connection()
    server = Endpoint(replace(WAN_SERVER, versions=versions), theirs, check_ours, clock=clock).connection()
    client_events, server_events = pump(client, server)
    assert client_events == server_events == [Established()]
    assert {client.version} == {server.version} == versions
    client.send(b"hello")
    assert server.receive(client.data_to_send()) == [Data(b"hello")]
    assert (client.peer_certificate, server.peer_certificate) == (theirs.certificates[0], ours.certificates[0])
