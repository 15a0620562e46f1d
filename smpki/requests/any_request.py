"""Read whatever a participant may send to a CA: the content type tells what it is."""

from smpki.asn1.oids import BSI_SIGNED_REV_REQS, BSI_SIGNED_UPDATE_DEVICE_ADMIN
from smpki.requests.device_admin import DeviceAdminUpdate, read_device_admin_content
from smpki.requests.envelope import open_envelope
from smpki.requests.revocation import MAX_SIZE, RevocationRequest, read_revocation_content
from smpki.requests.submission import SUBMISSIONS, Submission, read_submission_content

AnyRequest = Submission | RevocationRequest | DeviceAdminUpdate


def read_request(data: bytes) -> AnyRequest:
    """Read a request package, a signed revocation request, or an UpdateDeviceAdmin; nothing is verified yet.

    :param data: raw BER or DER, PEM with any label, or base64 text
    :raises RequestError: ``request.content_type.unsupported``, and what the reader of that type raises
    """
    kinds = *SUBMISSIONS, BSI_SIGNED_REV_REQS, BSI_SIGNED_UPDATE_DEVICE_ADMIN
    content_type, content = open_envelope(data, MAX_SIZE, *kinds)
    if content_type == BSI_SIGNED_REV_REQS:
        return read_revocation_content(content)
    if content_type == BSI_SIGNED_UPDATE_DEVICE_ADMIN:
        return read_device_admin_content(content)
    return read_submission_content(content_type, content)
