import inspect

import pkcs11
import pytest
from pkcs11 import exceptions

from smpki.hsm.vendor import ckr_name, refusal

OURS_ALONE = {"NoSuchKey", "NoSuchToken", "MultipleObjectsReturned", "MultipleTokensReturned", "PKCS11Error"}
VENDORS = sorted(
    (kind for name, kind in inspect.getmembers(exceptions, inspect.isclass) if name not in OURS_ALONE),
    key=lambda kind: kind.__name__,
)

# as in pkcs11t.h of PKCS#11 v2.40
NAMES = """
ARGUMENTS_BAD ATTRIBUTE_READ_ONLY ATTRIBUTE_SENSITIVE ATTRIBUTE_TYPE_INVALID ATTRIBUTE_VALUE_INVALID DATA_INVALID
DATA_LEN_RANGE DEVICE_ERROR DEVICE_MEMORY DEVICE_REMOVED DOMAIN_PARAMS_INVALID ENCRYPTED_DATA_INVALID
ENCRYPTED_DATA_LEN_RANGE EXCEEDED_MAX_ITERATIONS FUNCTION_CANCELED FUNCTION_FAILED FUNCTION_NOT_SUPPORTED
FUNCTION_REJECTED GENERAL_ERROR HOST_MEMORY KEY_HANDLE_INVALID KEY_INDIGESTIBLE KEY_NEEDED KEY_NOT_NEEDED
KEY_NOT_WRAPPABLE KEY_SIZE_RANGE KEY_TYPE_INCONSISTENT KEY_UNEXTRACTABLE MECHANISM_INVALID MECHANISM_PARAM_INVALID
NO_EVENT OBJECT_HANDLE_INVALID OPERATION_ACTIVE OPERATION_NOT_INITIALIZED PIN_EXPIRED PIN_INCORRECT PIN_INVALID
PIN_LEN_RANGE PIN_LOCKED PIN_TOO_WEAK PUBLIC_KEY_INVALID RANDOM_NO_RNG RANDOM_SEED_NOT_SUPPORTED SESSION_CLOSED
SESSION_COUNT SESSION_EXISTS SESSION_HANDLE_INVALID SESSION_READ_ONLY SESSION_READ_ONLY_EXISTS
SESSION_READ_WRITE_SO_EXISTS SIGNATURE_INVALID SIGNATURE_LEN_RANGE SLOT_ID_INVALID TEMPLATE_INCOMPLETE
TEMPLATE_INCONSISTENT TOKEN_NOT_PRESENT TOKEN_NOT_RECOGNIZED TOKEN_WRITE_PROTECTED UNWRAPPING_KEY_HANDLE_INVALID
UNWRAPPING_KEY_SIZE_RANGE UNWRAPPING_KEY_TYPE_INCONSISTENT USER_ALREADY_LOGGED_IN USER_ANOTHER_ALREADY_LOGGED_IN
USER_NOT_LOGGED_IN USER_PIN_NOT_INITIALIZED USER_TOO_MANY_TYPES WRAPPED_KEY_INVALID WRAPPED_KEY_LEN_RANGE
WRAPPING_KEY_HANDLE_INVALID WRAPPING_KEY_SIZE_RANGE WRAPPING_KEY_TYPE_INCONSISTENT
"""


@pytest.mark.parametrize("kind", VENDORS, ids=lambda kind: kind.__name__)
def test_every_exception_has_its_name_in_the_standard(kind: type[Exception]) -> None:
    assert ckr_name(kind()).removeprefix("CKR_") in NAMES.split()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Initialisation error (already initialized). Should never see this.", "CKR_CRYPTOKI_ALREADY_INITIALIZED"),
        ("Initialisation error (not initialized). Should never see this.", "CKR_CRYPTOKI_NOT_INITIALIZED"),
        ("Unmapped error code 0x80000001", "CKR_0x80000001"),
    ],
)
def test_errors_without_a_class_are_named_too(text: str, name: str) -> None:
    assert ckr_name(pkcs11.PKCS11Error(text)) == name


@pytest.mark.parametrize(("value", "name"), [(0xA2, "CKR_PIN_LEN_RANGE"), (0x80000001, "CKR_0x80000001")])
def test_return_values_are_named(value: int, name: str) -> None:
    assert ckr_name(value) == name


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (pkcs11.PinIncorrect(), "token.pin.incorrect"),
        (pkcs11.PinLocked(), "token.pin.locked"),
        (pkcs11.PinLenRange(), "token.pin.length"),
        (pkcs11.DeviceMemory(), "token.full"),
        (pkcs11.DeviceRemoved(), "token.removed"),
        (pkcs11.TokenWriteProtected(), "token.write_protected"),
        (pkcs11.MechanismInvalid(), "token.mechanism.unsupported"),
        (pkcs11.KeyHandleInvalid(), "token.key.gone"),
        (pkcs11.FunctionFailed(), "token.pkcs11.function_failed"),
        (pkcs11.PKCS11Error("Unmapped error code 0x80000001"), "token.pkcs11.0x80000001"),
    ],
)
def test_a_refusal_says_what_where_and_by_which_code(error: Exception, code: str) -> None:
    ours = refusal(error, "sign", "my token")
    assert ours.code == code
    assert ours.where == "my token"
    assert ours.message.startswith("sign: ")
    assert ckr_name(error) in ours.message
    assert ours.hint
