import pytest

from smpki.asn1 import der
from smpki.asn1.device_admin import build_device_admin, read_device_admin

DEVICES = ("EABC0012345678.SMGW", "EABC0012345679.SMGW")
UTF8, PRINTABLE, T61 = 0x0C, 0x13, 0x14


def update(devices: bytes, *new_admin: bytes, tag: int = der.SEQUENCE) -> bytes:
    return der.encode(0x30, der.encode(tag, devices), *new_admin)


def test_what_is_built_is_read() -> None:
    assert read_device_admin(build_device_admin(DEVICES, "Müller.GWA")) == (DEVICES, "Müller.GWA")


def test_both_kinds_of_string() -> None:
    data = update(der.encode(PRINTABLE, b"a") + der.encode(UTF8, b"b"), der.encode(PRINTABLE, b"c"))
    assert read_device_admin(data) == (("a", "b"), "c")
    assert read_device_admin(update(b"", der.encode(UTF8))) == ((), "")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30\x00",
        update(b""),
        update(b"", der.encode(UTF8), der.encode(UTF8)),
        update(b"", der.encode(UTF8), tag=der.SET),
        update(b"", der.encode(T61, b"a")),
        update(der.encode(T61, b"a"), der.encode(UTF8)),
        update(der.encode(UTF8, b"\xfc"), der.encode(UTF8)),
        update(der.encode(PRINTABLE, "ü".encode()), der.encode(UTF8)),
    ],
)
def test_refuses(data: bytes) -> None:
    with pytest.raises(der.DerError):
        read_device_admin(data)
