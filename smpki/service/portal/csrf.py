"""Forms that only our own pages can send.

A form carries a token that is signed with the visitor's own cookie, so there is no secret that several servers would
have to share. Browsers also say where a request comes from, and that has to be here.
"""

import hashlib
from collections.abc import Mapping

from itsdangerous import BadSignature, TimestampSigner

_SECONDS = 12 * 3600
_WORD = "form"


def form_token(cookie: str) -> str:
    """A token for the forms of one visitor.

    :param cookie: the secret that the visitor's browser keeps
    """
    return _signer(cookie).sign(_WORD).decode()


def is_ours(cookie: str, token: str, headers: Mapping[str, str], origin: str) -> bool:
    """Whether a form came from one of our pages, shown to this visitor.

    :param token: what came with the form
    :param headers: of the request; names in lower case
    :param origin: ours, such as ``https://portal.example``
    """
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    if headers.get("origin", origin) != origin:
        return False
    try:
        return _signer(cookie).unsign(token, max_age=_SECONDS) == _WORD.encode()
    except BadSignature:
        return False


def _signer(cookie: str) -> TimestampSigner:
    return TimestampSigner(cookie, salt=b"smpki.portal.form", digest_method=hashlib.sha256, key_derivation="hmac")
