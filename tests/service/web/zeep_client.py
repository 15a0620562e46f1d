"""A foreign client of the web service: zeep over requests and the standard library's TLS.

Standard input: JSON with ``wsdl`` (an address or a file), ``url``, ``cert``, ``key`` and ``root`` (files), and
``calls``: lists of operation and keywords, octets in base64 under keys that begin with ``b64:``. Standard output: the
answers in JSON.
"""

import base64
import json
import ssl
import sys
from typing import Any

import requests
import zeep
from requests.adapters import HTTPAdapter
from zeep.helpers import serialize_object


class Tls(HTTPAdapter):
    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **keywords: Any) -> None:
        super().init_poolmanager(*arguments, ssl_context=self._context, assert_hostname=False, **keywords)

    def cert_verify(self, *arguments: Any) -> None:
        """The context says whom we trust."""


def plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value


def given(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key.removeprefix("b64:"): base64.b64decode(each) if key.startswith("b64:") else given(each)
            for key, each in value.items()
        }
    return value


def main() -> None:
    job = json.load(sys.stdin)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(job["root"])
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # brainpool's curves in 1.3 need a newer OpenSSL
    context.load_cert_chain(job["cert"], job["key"])
    session = requests.Session()
    session.mount("https://", Tls(context))
    client = zeep.Client(job["wsdl"], transport=zeep.Transport(session=session))
    (binding,) = client.wsdl.bindings
    service = client.create_service(binding, job["url"])
    answers = [plain(serialize_object(service[name](**given(keywords)), dict)) for name, keywords in job["calls"]]
    json.dump(answers, sys.stdout)


main()
