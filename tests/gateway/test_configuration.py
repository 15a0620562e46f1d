"""gateway.yaml: read with paths beside it, written, refused with the line that is wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.errors import GatewayError
from smpki.gateway.api_types import to_pem
from smpki.gateway.configuration import Configuration, dump_configuration, load_configuration
from smpki.gateway.slots import Slot

GOOD = """\
id: eabc0000000001
token: {folder: token, label: eabc0000000001, pin_file: pin}
data: data
wake_up: {listen: "0.0.0.0:22357", window_seconds: 300}
administrator:
  name: Verwalter.GWA
  management: gwa.example:4001
  admin_service: gwa.example:4002
  time: gwa.example:4003
  certificates: [gwa-tls.pem, gwa-sig.pem]
meters:
  - source: tcp://127.0.0.1:7000
  - source: file:meter.bin
    meter: 1abc0012345678
"""


def _write(folder: Path, text: str) -> Path:
    file = folder / "gateway.yaml"
    file.write_text(text)
    return file


def test_paths_are_those_beside_the_file(tmp_path: Path) -> None:
    configuration = load_configuration(_write(tmp_path, GOOD))
    assert configuration.token is not None
    assert configuration.token.pin_file == tmp_path / "pin"
    assert configuration.data == tmp_path / "data"
    assert configuration.meters[0].address == ("127.0.0.1", 7000)
    assert configuration.meters[1].file == tmp_path / "meter.bin"
    assert configuration.times.answer_seconds == 20


def test_what_is_written_is_read_as_it_was(tmp_path: Path) -> None:
    value = Configuration.model_validate(yaml.safe_load(GOOD))
    text = dump_configuration(value)
    assert yaml.safe_load(text) == yaml.safe_load(GOOD)
    assert load_configuration(_write(tmp_path, text)) == load_configuration(_write(tmp_path, GOOD))


@pytest.mark.parametrize(
    ("before", "after", "where"),
    [
        ("data: data", "data: data\nmore: 1", "gateway.yaml:4: more"),
        ("eabc0000000001\ntoken", "1abc0000000001\ntoken", "gateway.yaml:1"),
        ("eabc0000000001\ntoken", "EABC0000000001\ntoken", "gateway.yaml:1: id"),
        ("0.0.0.0:22357", "0.0.0.0", "gateway.yaml:4: wake_up.listen"),
        ("tcp://127.0.0.1:7000", "udp://127.0.0.1:7000", "gateway.yaml:12: meters.0.source"),
        ("tcp://127.0.0.1:7000", "tcp://127.0.0.1:7000/x", "gateway.yaml:12: meters.0.source"),
        ("tcp://127.0.0.1:7000", '"file:"', "gateway.yaml:12: meters.0.source"),
        ("data: data", "data: data\nsoftware_keys: keys", "gateway.yaml:1"),
        ("data: data", "data: data\ntimes: {retry_seconds: 9000}", "gateway.yaml:4: times"),
        ("data: data", "data: data\ntimes: {time_every_seconds: 5}", "gateway.yaml:4: times.time_every_seconds"),
        ("[gwa-tls.pem, gwa-sig.pem]", "[]", "gateway.yaml:10: administrator.certificates"),
    ],
)
def test_a_complaint_names_the_line(tmp_path: Path, before: str, after: str, where: str) -> None:
    assert before in GOOD
    with pytest.raises(GatewayError) as refused:
        load_configuration(_write(tmp_path, GOOD.replace(before, after, 1)))
    assert refused.value.code == "configuration.invalid"
    assert refused.value.where == f"{tmp_path}/{where}"


@pytest.mark.parametrize(("text", "code"), [("", "configuration.yaml"), ("a: [", "configuration.yaml")])
def test_what_is_no_yaml_is_refused(tmp_path: Path, text: str, code: str) -> None:
    with pytest.raises(GatewayError) as refused:
        load_configuration(_write(tmp_path, text))
    assert refused.value.code == code


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GatewayError) as refused:
        load_configuration(tmp_path / "gateway.yaml")
    assert refused.value.code == "configuration.unreadable"


@pytest.fixture(scope="module")
def administrator_pems(certificate_for: Callable[..., x509.Certificate]) -> dict[str, str]:
    slots = {"gwa-tls": Slot.WAN_TLS, "gwa-sig": Slot.WAN_SIG, "gwa-enc": Slot.WAN_ENC}
    key = ec.generate_private_key(ec.BrainpoolP256R1()).public_key()
    return {name: to_pem(certificate_for(slot, key, "Verwalter.GWA")) for name, slot in slots.items()}


def _administrator(folder: Path, pems: dict[str, str], **files: str) -> Any:
    for name, pem in pems.items():
        (folder / f"{name}.pem").write_text(pem)
    configuration = load_configuration(_write(folder, GOOD)).administrator
    return configuration.model_copy(update=files).load()


def test_the_administrators_certificates_are_told_apart(tmp_path: Path, administrator_pems: dict[str, str]) -> None:
    names = tuple(tmp_path / f"{name}.pem" for name in ("gwa-enc", "gwa-sig", "gwa-tls"))
    administrator = _administrator(tmp_path, administrator_pems, certificates=names)
    assert [to_pem(each) for each in administrator.tls] == [administrator_pems["gwa-tls"]]
    assert [to_pem(each) for each in administrator.sig] == [administrator_pems["gwa-sig"]]


@pytest.mark.parametrize("names", [("gwa-tls",), ("gwa-sig", "gwa-enc"), ("gwa-tls", "gone")])
def test_an_administrator_needs_tls_and_sig(
    tmp_path: Path, administrator_pems: dict[str, str], names: tuple[str, ...]
) -> None:
    with pytest.raises(GatewayError) as refused:
        _administrator(tmp_path, administrator_pems, certificates=tuple(tmp_path / f"{name}.pem" for name in names))
    assert refused.value.code == "configuration.certificate"
