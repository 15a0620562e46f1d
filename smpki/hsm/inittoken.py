"""Set up a SoftHSM token. A program of its own, for :mod:`smpki.hsm.softhsm`.

In a process of its own because SoftHSM's configuration is one per process, and by ctypes because python-pkcs11 has no
C_InitToken. Needs nothing but the standard library, so that it starts fast.

Standard input: for each token a line with a JSON object: ``module`` (the library's path), ``label``, ``so_pin``,
``pin`` (PINs in arguments would show in the process list), ``folder`` (the configuration of the folder in which the
label has to be free) and ``draft`` (of the folder to make the token in). Standard output: for each a line with a JSON
object: ``status`` (``done``, ``exists``, ``unloadable`` or ``refused``), and for ``refused`` the PKCS#11 ``function``
and return ``value``.
"""

import ctypes
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# PKCS#11 v2.40: numbers, and where the fields are in CK_TOKEN_INFO
_CKF_TOKEN_INITIALIZED = 0x400
_CKF_RW_SERIAL_SESSION = 0x2 | 0x4
_CKU_SO = 0
_LABEL_OCTETS = 32
_FLAGS_OFFSET = 96
_TOKEN_INFO_OCTETS = 512  # more than any ABI's CK_TOKEN_INFO

_Ulong = ctypes.c_ulong


class _RefusedError(Exception):
    """A function's name and its return value."""


class _Module:
    def __init__(self, path: str) -> None:
        self._library = ctypes.CDLL(path)

    def call(self, function: str, *arguments: object) -> None:
        value = getattr(self._library, function)(*arguments)
        if value:
            raise _RefusedError(function, value)

    @contextmanager
    def initialised(self) -> Iterator[None]:
        """Reads the configuration that SOFTHSM2_CONF names now."""
        self.call("C_Initialize", None)
        try:
            yield
        finally:
            self.call("C_Finalize", None)

    def slots(self) -> list[int]:
        count = _Ulong()
        self.call("C_GetSlotList", 0, None, ctypes.byref(count))
        slots = (_Ulong * count.value)()
        self.call("C_GetSlotList", 0, slots, ctypes.byref(count))
        return list(slots)[: count.value]

    def token(self, slot: int) -> tuple[bytes, int]:
        """The padded label and the flags of the slot's token."""
        info = ctypes.create_string_buffer(_TOKEN_INFO_OCTETS)
        self.call("C_GetTokenInfo", _Ulong(slot), info)
        return info.raw[:_LABEL_OCTETS], _Ulong.from_buffer(info, _FLAGS_OFFSET).value


def _is_taken(module: _Module, label: bytes) -> bool:
    with module.initialised():
        tokens = [module.token(slot) for slot in module.slots()]
    return any(taken == label and flags & _CKF_TOKEN_INITIALIZED for taken, flags in tokens)


def _set_up(module: _Module, label: bytes, so_pin: bytes, pin: bytes) -> None:
    """In an empty folder, where the one slot has a token to be initialised."""
    with module.initialised():
        token, session = _Ulong(module.slots()[0]), _Ulong()
        module.call("C_InitToken", token, so_pin, _Ulong(len(so_pin)), label)
        module.call("C_OpenSession", token, _Ulong(_CKF_RW_SERIAL_SESSION), None, None, ctypes.byref(session))
        module.call("C_Login", session, _Ulong(_CKU_SO), so_pin, _Ulong(len(so_pin)))
        module.call("C_InitPIN", session, pin, _Ulong(len(pin)))


def _done(order: dict[str, str]) -> dict[str, Any]:
    try:
        module = _Module(order["module"])
        label = order["label"].encode().ljust(_LABEL_OCTETS)
        os.environ["SOFTHSM2_CONF"] = order["folder"]
        if _is_taken(module, label):
            return {"status": "exists"}
        os.environ["SOFTHSM2_CONF"] = order["draft"]
        _set_up(module, label, order["so_pin"].encode(), order["pin"].encode())
    except (OSError, AttributeError):  # no library, or without these functions
        return {"status": "unloadable"}
    except _RefusedError as error:
        return {"status": "refused", "function": error.args[0], "value": error.args[1]}
    return {"status": "done"}


def main() -> None:
    """Do what standard input says."""
    for line in sys.stdin:
        print(json.dumps(_done(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
