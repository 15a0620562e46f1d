"""Chains as the store knows them."""

from smpki.ca.store.lists import Lists
from smpki.ca.store.records import ListedCertificate, StoredCertificate


def chain_above(store: Lists, certificate: ListedCertificate) -> tuple[StoredCertificate, ...]:
    """The CAs above a certificate, from the root down to its issuer (the order of TR-03129-4); it is not among them."""
    chain: list[StoredCertificate] = []
    serial = certificate.issuer_serial
    while serial is not None:
        above = store.get(serial)
        chain.insert(0, above)
        serial = above.issuer_serial
    return tuple(chain)
