"""Messages as octets, for those who read them."""

from collections.abc import Callable

import pytest

from smpki.soap.messages import (
    CertificateRevocationRequest,
    CertType,
    GeneralMessage,
    GetCertificateChain,
    GetServiceStatus,
    Request,
    RequestCertificate,
    ReturnCode,
    SendCertificates,
    UpdateDeviceAdmin,
)
from smpki.soap.schema import NAMESPACE

REQUESTS: tuple[Request, ...] = (
    RequestCertificate(b"\x30package"),
    RequestCertificate(b"\x30package", "4711", CertType.SMGW_W),
    GetCertificateChain("CN=Beispiel.CA, O=SM-Test-PKI-DE, C=DE"),
    GetCertificateChain("CN=Bäcker & Söhne <GmbH>.CA", "47\t11 "),
    SendCertificates(ReturnCode.OK_CERT_AVAILABLE, "4711", certificates=(b"root", b"sub-ca")),
    SendCertificates(ReturnCode.OK_CERT_AVAILABLE, certificates=(b"new",)),
    SendCertificates(ReturnCode.FAILURE_INNER_SIGNATURE, "4711", "it does not hold"),
    CertificateRevocationRequest(b"\x30revoke"),
    UpdateDeviceAdmin(b"\x30hand over"),
    GeneralMessage("Beispiel.EMT", "4711", "Grüße", "zwei\nZeilen\r\nund \N{CLINKING BEER MUGS}]]>"),
    GetServiceStatus("4711"),
)


@pytest.fixture(params=REQUESTS, ids=lambda request: f"{request.operation}-{REQUESTS.index(request)}")
def any_request(request: pytest.FixtureRequest) -> Request:
    """A request of each operation, in its variants."""
    value: Request = request.param
    return value


@pytest.fixture(scope="session")
def requests() -> tuple[Request, ...]:
    """All requests that :func:`any_request` gives one by one."""
    return REQUESTS


@pytest.fixture(scope="session")
def in_soap() -> Callable[..., bytes]:
    """Call it with the XML of a body, and of a header, for the message around it.

    The default namespace is TR-03129-4's, ``s`` SOAP's, ``i`` XML Schema's for instances.
    """

    def message(body: str, header: str = "") -> bytes:
        return (
            f'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns="{NAMESPACE}"'
            f' xmlns:i="http://www.w3.org/2001/XMLSchema-instance">{header}<s:Body>{body}</s:Body></s:Envelope>'
        ).encode()

    return message
