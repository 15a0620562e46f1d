"""A vendor's PKCS#11 error as ours, with the CKR name in its message."""

import re

from smpki.errors import TokenError

_READABLE: dict[str, tuple[str, str, str]] = {
    "CKR_PIN_INCORRECT": (
        "token.pin.incorrect",
        "the PIN is wrong",
        "check the PIN source; tokens lock after a few wrong PINs",
    ),
    "CKR_PIN_LOCKED": ("token.pin.locked", "the PIN is locked", "the security officer sets a new PIN with the SO PIN"),
    "CKR_PIN_EXPIRED": ("token.pin.expired", "the PIN has expired", "change it with the vendor's tool"),
    "CKR_PIN_INVALID": ("token.pin.invalid", "the PIN has characters that the token refuses", "choose decimal digits"),
    "CKR_PIN_LEN_RANGE": (
        "token.pin.length",
        "the PIN is too short or too long for the token",
        "choose 10 to 32 decimal digits",
    ),
    "CKR_USER_PIN_NOT_INITIALIZED": (
        "token.pin.not_initialized",
        "the token has no user PIN yet",
        "finish setting up the token, as the security officer",
    ),
    "CKR_USER_NOT_LOGGED_IN": (
        "token.not_logged_in",
        "the token has ended our login",
        "open the token again; look for a reset, or other software in this process that logs out",
    ),
    "CKR_DEVICE_MEMORY": ("token.full", "the token is full", "destroy keys that are no longer used"),
    "CKR_TOKEN_WRITE_PROTECTED": ("token.write_protected", "the token is write-protected", "unlock it for writing"),
    "CKR_TOKEN_NOT_PRESENT": ("token.removed", "the token is not in its slot", "connect it, then open it again"),
    "CKR_DEVICE_REMOVED": ("token.removed", "the token was removed", "connect it, then open it again"),
    "CKR_KEY_HANDLE_INVALID": ("token.key.gone", "the key is no longer in the token", "look who destroyed it"),
    "CKR_OBJECT_HANDLE_INVALID": ("token.key.gone", "the key is no longer in the token", "look who destroyed it"),
    "CKR_MECHANISM_INVALID": (
        "token.mechanism.unsupported",
        "the token does not offer this operation",
        "compare with `smpki hsm info`",
    ),
    "CKR_CRYPTOKI_ALREADY_INITIALIZED": (
        "token.module.in_use",
        "other software in this process uses the PKCS#11 module already",
        "let both use it through p11-kit's proxy module",
    ),
}
"""Code, what happened and what to do, by CKR name."""

_ODD_NAMES = {
    "AnotherUserAlreadyLoggedIn": "CKR_USER_ANOTHER_ALREADY_LOGGED_IN",
    "FunctionCancelled": "CKR_FUNCTION_CANCELED",
    "RandomNoRNG": "CKR_RANDOM_NO_RNG",
    "SessionReadWriteSOExists": "CKR_SESSION_READ_WRITE_SO_EXISTS",
    "SlotIDInvalid": "CKR_SLOT_ID_INVALID",
    "TokenNotRecognised": "CKR_TOKEN_NOT_RECOGNIZED",
}

_NUMBERS = {
    0x05: "CKR_GENERAL_ERROR",
    0x06: "CKR_FUNCTION_FAILED",
    0x30: "CKR_DEVICE_ERROR",
    0x31: "CKR_DEVICE_MEMORY",
    0xA0: "CKR_PIN_INCORRECT",
    0xA1: "CKR_PIN_INVALID",
    0xA2: "CKR_PIN_LEN_RANGE",
    0xA4: "CKR_PIN_LOCKED",
    0xE2: "CKR_TOKEN_WRITE_PROTECTED",
}
"""Return values of the calls that set up a token (PKCS#11 v2.40)."""


def ckr_name(error: Exception | int) -> str:
    """The CKR name (PKCS#11 v2.40, section 5.1) of python-pkcs11's exception, or of a return value.

    A return value that neither knows is given as a number, such as ``CKR_0x80000001``.
    """
    if isinstance(error, int):
        return _NUMBERS.get(error, f"CKR_{error:#x}")
    kind = type(error).__name__
    if kind == "PKCS11Error":
        return _unnamed(str(error))
    return _ODD_NAMES.get(kind) or "CKR" + re.sub("([A-Z])", r"_\1", kind).upper()


def _unnamed(text: str) -> str:
    # python-pkcs11 has no class for these and tells them by their text only
    if "already initialized" in text:
        return "CKR_CRYPTOKI_ALREADY_INITIALIZED"
    if "not initialized" in text:
        return "CKR_CRYPTOKI_NOT_INITIALIZED"
    number = re.search("0x[0-9a-f]+", text)
    return f"CKR_{number[0]}" if number else "CKR_GENERAL_ERROR"


def refusal(error: Exception | int, doing: str, where: str) -> TokenError:
    """Our error for a vendor's.

    Frequent causes have a code of their own, such as ``token.pin.incorrect``; any other is ``token.pkcs11.`` and the
    CKR name in lower case. The message always has the CKR name.

    :param error: python-pkcs11's exception, or a PKCS#11 return value
    :param doing: what was tried, such as ``sign``
    :param where: the token's label
    """
    name = ckr_name(error)
    code, what, hint = _READABLE.get(
        name,
        (
            "token.pkcs11." + name.removeprefix("CKR_").lower(),
            "the token refused",
            "see the vendor's documentation; with SoftHSM look whether its folder can be written and has space left",
        ),
    )
    return TokenError(code, f"{doing}: {what} ({name})", where=where, hint=hint)
