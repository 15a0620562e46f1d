"""AES-GCM and AES key wrap on the vectors of github C2SP/wycheproof (Apache-2.0), by what opens and seals contents."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from smpki.gateway.content_cipher import GcmCipher, UnopenedError
from smpki.gateway.content_key import unwrap_key, wrap_key

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "wycheproof"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"the vectors are not at {FOLDER}")


def vectors(name: str, **wanted: int) -> Iterator[tuple[str, str, dict[str, bytes]]]:
    """Number, expected result and octets of each vector of the groups with these sizes."""
    for group in json.loads((FOLDER / f"{name}_test.json").read_text())["testGroups"]:
        if all(group[size] == value for size, value in wanted.items()):
            for test in group["tests"]:
                names = {"key", "iv", "aad", "msg", "ct", "tag"} & test.keys()
                octets = {field: bytes.fromhex(test[field]) for field in names}
                yield f"{test['tcId']} {test['comment']}", test["result"], octets


@pytest.mark.parametrize("pieces", [1, 5, 1000])
def test_gcm(pieces: int) -> None:
    """Those with a nonce and a tag of the profile's lengths; no others are ever let through to the cipher."""
    seen: Counter[str] = Counter()
    for name, expected, given in vectors("aes_gcm", ivSize=96, tagSize=128):
        seen[expected] += 1

        def cut(value: bytes) -> list[bytes]:
            return [value[at : at + pieces] for at in range(0, len(value), pieces)]

        def cipher(given: dict[str, bytes] = given) -> GcmCipher:
            return GcmCipher(given["key"], given["iv"], given["aad"])

        if expected == "valid":
            sealing = cipher()
            assert b"".join(map(bytes, sealing.encrypt(cut(given["msg"])))) == given["ct"], name
            assert sealing.mac == given["tag"], name
            assert b"".join(map(bytes, cipher().decrypt(cut(given["ct"]), given["tag"]))) == given["msg"], name
        else:
            with pytest.raises(UnopenedError):
                list(cipher().decrypt(cut(given["ct"]), given["tag"]))
    assert seen == {"valid": 116, "invalid": 81}


def test_key_wrap() -> None:
    """What is merely acceptable there (keys shorter than two blocks) no suite has."""
    seen: Counter[str] = Counter()
    for name, expected, given in vectors("aes_wrap"):
        seen[expected] += 1
        found = unwrap_key(given["key"], given["ct"])
        if expected == "valid":
            assert found == given["msg"], name
            assert wrap_key(given["key"], given["msg"]) == given["ct"], name
        else:
            assert found is None or (expected == "acceptable" and found == given["msg"]), name
    assert seen == {"valid": 36, "acceptable": 3, "invalid": 126}
