import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pkcs11._pkcs11
import pytest

from smpki.hsm.loading import acquire, modules_in_use
from smpki.hsm.module import ModuleChoice, find_module, find_softhsm

LIBRARIES = f"usr/lib/{sysconfig.get_config_var('MULTIARCH')}"
PROXY = f"{LIBRARIES}/p11-kit-proxy.so"
SOFTHSM = f"{LIBRARIES}/softhsm/libsofthsm2.so"


def machine(root: Path, *files: str, **modules: str) -> Path:
    """A file system with these files, and these modules registered with p11-kit."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    registry = root / "usr/share/p11-kit/modules"
    registry.mkdir(parents=True)
    for name, library in modules.items():
        (registry / f"{name}.module").write_text(f"# a comment: none\npriority: 1\nmodule: {library}\n")
    return root


@pytest.mark.parametrize("spec", [None, "softhsm2"])
def test_softhsm_goes_through_the_proxy(tmp_path: Path, spec: str | None) -> None:
    root = machine(tmp_path, PROXY, SOFTHSM, softhsm2=f"/{SOFTHSM}")
    assert find_module(spec, root=root) == ModuleChoice(root / PROXY, via_proxy=True)


@pytest.mark.parametrize("spec", [None, "softhsm2"])
def test_softhsm_without_p11_kit(tmp_path: Path, spec: str | None) -> None:
    root = machine(tmp_path, SOFTHSM)
    assert find_module(spec, root=root) == ModuleChoice(root / SOFTHSM, via_proxy=False)


def test_softhsm_that_p11_kit_does_not_know_is_opened_directly(tmp_path: Path) -> None:
    root = machine(tmp_path, PROXY, SOFTHSM)
    assert find_module(None, root=root) == ModuleChoice(root / SOFTHSM, via_proxy=False)


def test_a_registered_module_goes_through_the_proxy(tmp_path: Path) -> None:
    root = machine(tmp_path, PROXY, vendor="/opt/vendor/lib.so")
    assert find_module("vendor", root=root) == ModuleChoice(root / PROXY, via_proxy=True)


@pytest.mark.parametrize("written", ["/opt/vendor.so", "vendor.so"])
def test_a_registered_module_without_the_proxy_is_opened_directly(tmp_path: Path, written: str) -> None:
    library = "opt/vendor.so" if written.startswith("/") else f"{LIBRARIES}/pkcs11/vendor.so"
    root = machine(tmp_path, library, vendor=written)
    assert find_module("vendor", root=root) == ModuleChoice(root / library, via_proxy=False)


def test_the_administrators_registration_goes_first(tmp_path: Path) -> None:
    root = machine(tmp_path, "opt/mine.so", vendor="/opt/package.so")
    (root / "etc/pkcs11/modules").mkdir(parents=True)
    (root / "etc/pkcs11/modules/vendor.module").write_text("module: /opt/mine.so\n")
    assert find_module("vendor", root=root).path == root / "opt/mine.so"


def test_a_path_is_opened_directly(tmp_path: Path) -> None:
    library = tmp_path / "vendor.so"
    library.touch()
    assert find_module(str(library)) == ModuleChoice(library, via_proxy=False)


def test_the_proxys_own_path_is_the_proxy(tmp_path: Path) -> None:
    root = machine(tmp_path, PROXY)
    assert find_module(str(root / PROXY)).via_proxy


def test_a_missing_path_is_refused(tmp_path: Path, refused: Any) -> None:
    with refused("token.module.missing"):
        find_module(str(tmp_path / "vendor.so"))


def test_an_unknown_name_is_refused(tmp_path: Path, refused: Any) -> None:
    with refused("token.module.unknown"):
        find_module("vendor", root=machine(tmp_path, PROXY, SOFTHSM, softhsm2=f"/{SOFTHSM}"))


def test_a_machine_without_softhsm_is_told_what_to_install(tmp_path: Path, refused: Any) -> None:
    with refused("token.module.missing") as caught:
        find_module(None, root=machine(tmp_path, PROXY))
    assert "softhsm2" in caught.value.hint


def test_softhsm_is_found_on_this_machine() -> None:
    assert find_softhsm().name == "libsofthsm2.so"


@pytest.mark.parametrize("content", [b"", b"not a library"])
def test_a_file_that_is_no_library_is_refused(tmp_path: Path, refused: Any, content: bytes) -> None:
    file = tmp_path / "vendor.so"
    file.write_bytes(content)
    with refused("token.module.invalid") as caught:
        acquire(find_module(str(file)))
    assert caught.value.where == str(file)
    assert modules_in_use() == ()


def test_a_library_that_is_no_pkcs11_module_is_refused(refused: Any) -> None:
    with refused("token.module.invalid"):
        acquire(find_module(pkcs11._pkcs11.__file__))


@pytest.mark.parametrize("module", ["hsm", "hsm.pin", "hsm.module", "hsm.softhsm", "hsm.key"])
def test_only_those_who_open_a_token_load_pkcs11(module: str) -> None:
    program = f"import sys, smpki.{module}; sys.exit('pkcs11' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
