"""The hierarchy of CAs as a picture: who stands where, and in which state."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from smpki.policy.model import CertificateType
from smpki.service.desk.certificates import Standing

SHOWN = (
    CertificateType.ROOT,
    CertificateType.LINK,
    CertificateType.CRL_SIGNER,
    CertificateType.TLS_SIGNER,
    CertificateType.SUB_CA,
)
"""What the picture shows; the CAs' TLS certificates are in the list below it."""

SOON = timedelta(days=60)
"""How long before its end a certificate counts as ending soon."""

WIDTH, HEIGHT = 270, 54
_GAP_X, _GAP_Y, _MARGIN = 60, 16, 8


@dataclass(frozen=True)
class Node:
    """A certificate in the picture.

    :param x: of its upper left corner, in pixels
    :param state: see :func:`state_of`
    """

    standing: Standing
    state: str
    x: int
    y: int


@dataclass(frozen=True)
class Picture:
    """The picture.

    :param edges: from the right side of an issuer to the left side of what it issued: x, y, x, y
    """

    nodes: tuple[Node, ...]
    edges: tuple[tuple[int, int, int, int], ...]
    width: int
    height: int


def state_of(one: Standing, now: datetime) -> str:
    """How a certificate stands: ``revoked``, ``suspended``, ``expired``, ``future``, ``soon`` or ``valid``."""
    certificate, revocation = one.certificate, one.revocation
    if revocation is not None:
        return "revoked" if revocation.suspended_until is None else "suspended"
    if now > certificate.not_after:
        return "expired"
    if now < certificate.not_before:
        return "future"
    return "soon" if certificate.not_after - now < SOON else "valid"


def draw(authorities: Sequence[Standing], now: datetime) -> Picture:
    """Place issuers left of what they issued, each below the one before."""
    shown = [one for one in authorities if one.certificate.kind in SHOWN]
    serials = {one.certificate.serial for one in shown}
    children: dict[str | None, list[Standing]] = {}
    for one in shown:
        issuer = one.certificate.issuer_serial
        is_top = issuer is None or issuer == one.certificate.serial or issuer not in serials
        children.setdefault(None if is_top else issuer, []).append(one)
    nodes: list[Node] = []
    edges: list[tuple[int, int, int, int]] = []
    row = 0

    def place(one: Standing, depth: int) -> Node:
        nonlocal row
        x, y = _MARGIN + depth * (WIDTH + _GAP_X), _MARGIN + row * (HEIGHT + _GAP_Y)
        node = Node(one, state_of(one, now), x, y)
        nodes.append(node)  # before those below it: the keyboard goes from box to box in this order
        below = [place(child, depth + 1) for child in children.get(one.certificate.serial, ())]
        if not below:
            row += 1
        edges.extend((x + WIDTH, y + HEIGHT // 2, child.x, child.y + HEIGHT // 2) for child in below)
        return node

    for top in children.get(None, ()):
        place(top, 0)
    width = max((node.x + WIDTH for node in nodes), default=0) + _MARGIN
    height = max((node.y + HEIGHT for node in nodes), default=0) + _MARGIN
    return Picture(tuple(nodes), tuple(edges), width, height)
