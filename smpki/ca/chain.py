"""Chains as the store knows them."""

from collections.abc import Sequence
from datetime import datetime

from smpki.ca.store.lists import Lists
from smpki.ca.store.records import ListedCertificate, StoredCertificate
from smpki.policy.model import CertificateType


def chain_above(store: Lists, certificate: ListedCertificate) -> tuple[StoredCertificate, ...]:
    """The CAs above a certificate, from the root down to its issuer (the order of TR-03129-4); it is not among them."""
    chain: list[StoredCertificate] = []
    serial = certificate.issuer_serial
    while serial is not None:
        above = store.get(serial)
        chain.insert(0, above)
        serial = above.issuer_serial
    return tuple(chain)


def roots_and_links(store: Lists, at: datetime) -> tuple[StoredCertificate, ...]:
    """The roots that are valid at a time, oldest first, and before each the link certificate that leads to it.

    TR-03129-4 wants all valid link certificates in a chain.
    """
    found = [one for one in store.of_kinds([CertificateType.ROOT, CertificateType.LINK]) if _valid(one, at)]
    return tuple(sorted(found, key=lambda one: (one.dn_serial or 0, one.kind == CertificateType.ROOT)))


def bundle(store: Lists, issued: Sequence[StoredCertificate], at: datetime) -> tuple[StoredCertificate, ...]:
    """What the operator of a Sub-CA needs to install it (:class:`smpki.ca.installing.Installer`).

    :param issued: the Sub-CA's certificates
    :return: roots and links, CRL signers, what else stands above the certificates, and they themselves
    """
    signers = [one for one in store.of_kinds([CertificateType.CRL_SIGNER]) if _valid(one, at)]
    above = [one for certificate in issued for one in chain_above(store, certificate)]
    return tuple(dict.fromkeys([*roots_and_links(store, at), *signers, *above, *issued]))


def _valid(certificate: ListedCertificate, at: datetime) -> bool:
    return certificate.not_before <= at <= certificate.not_after
