"""A process that does TLS with the keys of a security module in a token: ``module_tls_program.py TOKEN LOCK PIN_FILE``.

It prints the numbers of the certificates that the other side saw: before, during and after the change of a triple.
"""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from smpki.hsm.module import find_module
from smpki.hsm.pin import read_pin
from smpki.tls.provider import load_provider, log_in

label, lock, pin_file = sys.argv[1:]
pin = read_pin(file=Path(pin_file), value=None, prompt=None)
load_provider(find_module(None).path, pin, os.environ)
log_in(label, Path(lock))

from module_program import certificate  # noqa: E402 - all of these import cryptography

from smpki.gateway.security_module import SecurityModule  # noqa: E402
from smpki.gateway.slots import Group, Slot  # noqa: E402
from smpki.hsm.token import Token  # noqa: E402
from smpki.hsm.token_vault import TokenVault  # noqa: E402
from smpki.tls.endpoint import Endpoint  # noqa: E402
from smpki.tls.identity import Identity  # noqa: E402
from smpki.tls.peers import exact_match  # noqa: E402
from smpki.tls.profile import WAN_CLIENT, WAN_SERVER  # noqa: E402

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def seen(gateway: Identity, peer: Identity) -> int:
    """Let the gateway connect to the peer; the serial number of the certificate that the peer saw."""
    trusts_peer, trusts_gateway = (exact_match(one.certificates, now=lambda: NOW) for one in (peer, gateway))
    client = Endpoint(WAN_CLIENT, gateway, trusts_peer, clock=lambda: NOW).connection()
    server = Endpoint(WAN_SERVER, peer, trusts_gateway, clock=lambda: NOW).connection()
    client.start()
    while (data := client.data_to_send()) or (answer := server.data_to_send()):
        server.receive(data) if data else client.receive(answer)
    assert client.established and server.established and server.peer_certificate is not None
    return server.peer_certificate.serial_number


with Token.open(None, label, pin, lock=Path(lock)) as token, SecurityModule(TokenVault(token)) as module:

    def renew(group: Group) -> None:
        for slot in group.slots:
            public_key = module.generate(slot.next)
            module.install(slot.next, certificate(slot, public_key, module.key(slot.next)))
        module.activate(group)

    renew(Group.LMN)
    renew(Group.WAN)
    peer, first = module.tls_identity(Slot.LMN_TLS), module.tls_identity(Slot.WAN_TLS)
    found = [seen(first, peer)]
    renew(Group.WAN)
    second = module.tls_identity(Slot.WAN_TLS)
    found += [seen(first, peer), seen(second, peer)]
    module.retire()
    found += [seen(second, peer)]
    expected = [identity.certificates[0].serial_number for identity in (first, first, second, second)]
    print("right" if found == expected else "wrong", len(set(found)))
