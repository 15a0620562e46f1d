import base64
from typing import Any

import pytest

from smpki.asn1 import der
from smpki.asn1.device_admin import build_device_admin
from smpki.asn1.oids import BSI_SIGNED_UPDATE_DEVICE_ADMIN, BSI_UPDATE_DEVICE_ADMIN
from smpki.errors import RequestError
from smpki.requests.any_request import read_request
from smpki.requests.device_admin import build_device_admin_update, read_device_admin_update
from smpki.requests.keys import Signer

SignedDraft = Any  # conftest.SignedDraft

GATEWAYS = ("EABC0012345678.SMGW", "EABC0012345679.SMGW")


def test_what_is_built_is_read(previous: Signer) -> None:
    data = build_device_admin_update(GATEWAYS, "Neu.GWA", previous)
    update = read_device_admin_update(base64.b64encode(data))
    update.signature.verify()
    assert (update.gateways, update.new_admin) == (GATEWAYS, "Neu.GWA")
    assert update.signature.signer == previous.certificate
    assert update.signature.signed_data.content_type == BSI_UPDATE_DEVICE_ADMIN
    assert read_request(data) == update


def test_all_gateways_of_an_administrator(previous: Signer) -> None:
    gateways = tuple(f"EABC00{number:08}.SMGW" for number in range(10_000))
    assert read_device_admin_update(build_device_admin_update(gateways, "Neu.GWA", previous)).gateways == gateways


@pytest.mark.parametrize(
    ("gateways", "new_admin", "code"),
    [
        ((), "Neu.GWA", "empty"),
        (("EABC0012345678",), "Neu.GWA", "gateway"),
        (("eabc0012345678.SMGW",), "Neu.GWA", "gateway"),
        ((*GATEWAYS, "Beispiel.EMT"), "Neu.GWA", "gateway"),
        ((*GATEWAYS, GATEWAYS[0]), "Neu.GWA", "duplicate"),
        (GATEWAYS, "Neu.GWH", "new_admin"),
        (GATEWAYS, "", "new_admin"),
    ],
)
def test_refuses(renewal_draft: SignedDraft, gateways: tuple[str, ...], new_admin: str, code: str) -> None:
    content = build_device_admin(gateways, new_admin)
    draft = renewal_draft.but(content_type=BSI_UPDATE_DEVICE_ADMIN, content=content)
    with pytest.raises(RequestError) as refused:
        read_device_admin_update(draft.inside(BSI_SIGNED_UPDATE_DEVICE_ADMIN))
    assert refused.value.code == f"request.device_admin.{code}"
    assert refused.value.hint
    with pytest.raises(RequestError) as refused:
        build_device_admin_update(gateways, new_admin, renewal_draft.signer)
    assert refused.value.code == f"request.device_admin.{code}"


def test_another_structure(renewal_draft: SignedDraft) -> None:
    draft = renewal_draft.but(content_type=BSI_UPDATE_DEVICE_ADMIN, content=der.encode(0x30))
    with pytest.raises(RequestError) as refused:
        read_device_admin_update(draft.inside(BSI_SIGNED_UPDATE_DEVICE_ADMIN))
    assert (refused.value.code, refused.value.where) == ("request.encoding.tag", "UpdateDeviceAdmin")
