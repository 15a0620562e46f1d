"""A process whose TLS keys are in a token, for the tests: a job in JSON on its input, what came of it on its output."""

import json
import os
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from smpki.errors import SmpkiError
from smpki.hsm.module import find_module
from smpki.hsm.pin import Pin
from smpki.tls.provider import key_uri, load_provider, load_provider_key, log_in

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def start(pin: str, lock: str, token: str | None = None, module: str | None = None) -> dict[str, Any]:
    """Only the provider."""
    library = Path(module) if module else find_module(None).path
    load_provider(library, Pin(pin), os.environ)
    log_in(token, Path(lock))
    open_files = []
    for file in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the folder's own
            open_files.append(str(file.readlink()))
    return {"OPENSSL_CONF": os.environ.get("OPENSSL_CONF"), "memfd": [one for one in open_files if "memfd" in one]}


def key(pin: str, lock: str, token: str, label: str) -> str:
    """One key."""
    start(pin, lock, token)
    return str(load_provider_key(key_uri(token, label)).bits())


def handshakes(pin: str, lock: str, token: str) -> dict[str, Any]:
    """Both ends with a key in the token, which the process uses by itself, too."""
    start(pin, lock, token)
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    from smpki.asn1.curves import CURVES
    from smpki.hsm.key import KeyUse
    from smpki.hsm.token import Token
    from smpki.tls.endpoint import Endpoint
    from smpki.tls.identity import Identity, ProviderKey
    from smpki.tls.peers import exact_match
    from smpki.tls.profile import WAN_CLIENT, WAN_SERVER, Version

    sha256 = ec.ECDSA(hashes.SHA256())

    def made(opened: Token, name: str) -> Identity:
        private = opened.generate(name, CURVES["brainpoolP256r1"], KeyUse.SIGN)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder(subject, subject, private.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(NOW).not_valid_after(NOW + timedelta(days=1))
        return Identity((builder.sign(private, hashes.SHA256()),), ProviderKey(key_uri(token, name)))

    def shake(ours: Identity, theirs: Identity, version: Version) -> bool:
        only = frozenset({version})
        trusts_theirs, trusts_ours = (exact_match(one.certificates, now=lambda: NOW) for one in (theirs, ours))
        client = Endpoint(replace(WAN_CLIENT, versions=only), ours, trusts_theirs, clock=lambda: NOW).connection()
        server = Endpoint(replace(WAN_SERVER, versions=only), theirs, trusts_ours, clock=lambda: NOW).connection()
        client.start()
        while (data := client.data_to_send()) or (answer := server.data_to_send()):
            server.receive(data) if data else client.receive(answer)
        return client.established and server.established and client.version is version

    with Token.open(None, token, Pin(pin), lock=Path(lock)) as opened:
        both = made(opened, "gateway's TLS key"), made(opened, "Schlüssel/2")
        results = {version.value: shake(*both, version) for version in Version}
        key = opened.key(label="gateway's TLS key")
        key.public_key().verify(key.sign(b"data", sha256), b"data", sha256)
    # what OpenSSL holds outlives the process's own use of the token
    return results | {"afterwards": shake(*both, Version.TLS13)}


if __name__ == "__main__":
    job = json.load(sys.stdin)
    try:
        answer = globals()[job.pop("job")](**job)
    except SmpkiError as error:
        answer = error.as_dict()
    json.dump(answer, sys.stdout)
