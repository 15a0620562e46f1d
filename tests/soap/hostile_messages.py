"""Reads one hostile message after the other, under limits of time and memory; prints what each was refused for."""

import json
import resource
import time
from collections.abc import Iterator

from smpki.errors import SoapError
from smpki.soap.envelope import MAX_SIZE
from smpki.soap.messages import Operation
from smpki.soap.read import read_answer, read_request
from smpki.soap.schema import NAMESPACE

HEAD = f'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns="{NAMESPACE}">'
TAIL = "</s:Envelope>"


def bomb() -> str:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    return f'<!DOCTYPE a [<!ENTITY e0 "ha">{entities}]>{HEAD}<s:Body a="&e11;">&e11;</s:Body>{TAIL}'


def many(unit: str, room: int = MAX_SIZE - 1000) -> str:
    """As many units as a message has room for; ``@`` in them is another number each time."""
    return "".join(unit.replace("@", str(number)) for number in range(room // (len(unit) + 5 * unit.count("@"))))


def body(content: str, attributes: str = "") -> str:
    return f"{HEAD}<s:Body><GetServiceStatus_Req {attributes}>{content}</GetServiceStatus_Req></s:Body>{TAIL}"


def messages() -> Iterator[tuple[str, bytes]]:
    documents = {
        "entity bomb": bomb(),
        "one large entity": f'<!DOCTYPE a [<!ENTITY a "{300_000 * "x"}">]><a>{100_000 * "&a;"}</a>',
        "entity from a file": '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        "entity from the network": '<!DOCTYPE a [<!ENTITY b SYSTEM "http://192.0.2.1/">]><a>&b;</a>',
        "parameter entity": '<!DOCTYPE a [<!ENTITY % b SYSTEM "file:///dev/zero"> %b;]><a/>',
        "schema from a file": body("", 'i:schemaLocation="a /dev/zero"').replace(
            "xmlns:s", 'xmlns:i="http://www.w3.org/2001/XMLSchema-instance" xmlns:s'
        ),
        "declarations": f"<!DOCTYPE a [{many('<!ENTITY a SYSTEM>')}]><a/>",
        "deep": many("<a>"),
        "deep body": body(f"{300_000 * '<a>'}"),
        "deep header": f"{HEAD}<s:Header>{300_000 * '<a>'}",
        "elements": body(many("<a/>")),
        "elements of the interface": body(many("<messageID/>")),
        "header entries": f"{HEAD}<s:Header>{many('<a/>')}</s:Header><s:Body/>{TAIL}",
        "attributes": body("", many('a@="" ')),
        "namespaces": body("", many('xmlns:n@="urn:@" ')),
        "attributes in namespaces": body("", many('xmlns:n@="urn:@" n@:a="" ')),
        "comments": many("<!---->"),
        "unfinished comments": many("<!-- "),
        "comment": f"<!--{many('-')}",
        "declaration": f"<?xml {many('encoding=')}",
        "spaces": many(" "),
        "cdata": body(many("<![CDATA[]]>")),
        "references": body(many("&#65;")),
        "text": body(f"<messageID>{many('x')}</messageID><messageID/>"),
        "no base64": f"{HEAD}<s:Body><UpdateDeviceAdmin_Req><callbackIndicator/><updDevAdminReq>{many('!')}"
        f"</updDevAdminReq></UpdateDeviceAdmin_Req></s:Body>{TAIL}",
        "long value": f"{HEAD}<s:Body><SendCertificates_Req><statusInfo>{many('x')}</statusInfo>"
        f"</SendCertificates_Req></s:Body>{TAIL}",
        "long name": f"<{many('a')}/>",
    }
    for name, document in documents.items():
        assert len(document) <= MAX_SIZE, name
        yield name, document.encode()
    yield "UTF-16", body(many("\u0800", MAX_SIZE // 2 - 1000)).encode("utf-16")


def refusal(message: bytes) -> str:
    for read in (lambda: read_answer(message, Operation.GET_SERVICE_STATUS), lambda: read_request(message)):
        try:
            read()
        except SoapError as error:
            code = error.code
        else:
            return "read"
    return code


def peak() -> int:
    """Kilobytes of memory that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def left_behind(rounds: int = 8) -> int:
    """Kilobytes of memory that attributes cost whose names nobody has used before."""
    before = 0
    for number in range(rounds):
        refusal(body("", many(f'a{number}x@="" ')).encode())
        before = before or peak()
    return peak() - before


def main() -> None:
    kilobytes = left_behind()
    refusals, longest = {}, 0.0
    for name, message in messages():
        start = time.process_time()
        refusals[name] = refusal(message)
        longest = max(longest, time.process_time() - start)
    print(json.dumps({"refusals": refusals, "seconds": longest, "kilobytes": kilobytes}))


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
    resource.setrlimit(resource.RLIMIT_AS, (2**29, 2**29))
    main()
