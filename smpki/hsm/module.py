"""Where the PKCS#11 modules are."""

import platform
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from smpki.errors import TokenError

SOFTHSM = "softhsm2"
"""The default module, by the name under which it is registered with p11-kit."""

_PROXY = "p11-kit-proxy.so"
_REGISTRIES = ("etc/pkcs11/modules", "usr/share/p11-kit/modules")  # the first one wins, as in pkcs11.conf(5)


@dataclass(frozen=True)
class ModuleChoice:
    """The shared library to load.

    :param path: the library
    :param via_proxy: it is p11-kit's proxy, which locks for its threads and shares the module with others in the
        process; any other library is used under one lock for the whole process
    """

    path: Path
    via_proxy: bool


def find_module(spec: str | None, *, root: Path = Path("/")) -> ModuleChoice:
    """The library for a module's name or path.

    A module that is registered with p11-kit is opened through p11-kit's proxy where that is installed (Debian:
    p11-kit-modules), otherwise by its own path. SoftHSM is found without p11-kit too.

    :param spec: a path (anything with ``/``), a name under which the module is registered with p11-kit, or None for
        SoftHSM
    :param root: where the file system begins
    :raises TokenError: ``token.module.missing``, ``token.module.unknown``
    """
    if spec is not None and "/" in spec:
        path = Path(spec)
        if not path.is_file():
            raise TokenError(
                "token.module.missing", "the PKCS#11 module does not exist", where=spec, hint="check the path"
            )
        return ModuleChoice(path, via_proxy=path.name == _PROXY)
    name = SOFTHSM if spec is None else spec
    registered = _registered(name, root)
    proxy = _first(folder / _PROXY for folder in library_folders(root))
    if registered and proxy:
        return ModuleChoice(proxy, via_proxy=True)
    if registered and registered.is_file():
        return ModuleChoice(registered, via_proxy=False)
    if name == SOFTHSM:
        return ModuleChoice(find_softhsm(root=root), via_proxy=False)
    raise TokenError(
        "token.module.unknown",
        f"p11-kit has no PKCS#11 module {name!r}",
        where=name,
        hint="`p11-kit list-modules` shows the names; or give the path of the module's library",
    )


def find_softhsm(*, root: Path = Path("/")) -> Path:
    """SoftHSM's own library, never the proxy.

    :param root: where the file system begins
    :raises TokenError: ``token.module.missing``
    """
    library = _first(
        folder / place / "libsofthsm2.so" for folder in library_folders(root) for place in ("softhsm", "pkcs11", ".")
    )
    if library is None:
        raise TokenError(
            "token.module.missing",
            "SoftHSM is not installed",
            where="libsofthsm2.so",
            hint="install it (Debian, Ubuntu: apt install softhsm2 p11-kit-modules), or give the module's path",
        )
    return library


def _registered(name: str, root: Path) -> Path | None:
    """The library that p11-kit's configuration gives the name (pkcs11.conf(5): ``module: PATH``)."""
    for registry in _REGISTRIES:
        file = root / registry / f"{name}.module"
        if not file.is_file():
            continue
        for line in file.read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "module" and value.strip():
                library = root / value.strip().lstrip("/")
                if Path(value.strip()).is_absolute():
                    return library
                return _first(folder / "pkcs11" / value.strip() for folder in library_folders(root))
    return None


def library_folders(root: Path) -> Iterator[Path]:
    """Where shared libraries are, this machine's multi-arch folder first.

    :param root: where the file system begins
    """
    multiarch = sysconfig.get_config_var("MULTIARCH") or f"{platform.machine()}-linux-gnu"
    for folder in (f"usr/lib/{multiarch}", "usr/lib64", "usr/lib", "usr/local/lib"):
        yield root / folder


def _first(paths: Iterator[Path]) -> Path | None:
    return next((path for path in paths if path.is_file()), None)
