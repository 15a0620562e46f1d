"""Health, readiness and metrics over HTTP (an ASGI application), for this machine's supervisor and Prometheus.

====================  ====================================================================
``/health``           200: the process lives
``/ready``            200: it could do its work; 503 with the code of what is in the way
``/metrics``          figures, in Prometheus' text format
====================  ====================================================================
"""

import asyncio
import json

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from smpki.service.operation.health import Readiness
from smpki.tls.http_server import Application, Receive, Scope, Send

_JSON = "application/json"


def monitor(readiness: Readiness, registry: CollectorRegistry) -> Application:
    """The application, for any ASGI server."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["method"] not in ("GET", "HEAD"):
            await _send(send, scope, 405, b"", _JSON)
            return
        match scope["path"]:
            case "/health":
                await _send(send, scope, 200, b'{"alive": true}\n', _JSON)
            case "/ready":
                complaint = await readiness.complaint()
                value = {"ready": True} if complaint is None else {"ready": False, "error": complaint.code}
                await _send(send, scope, 200 if complaint is None else 503, f"{json.dumps(value)}\n".encode(), _JSON)
            case "/metrics":
                text = await asyncio.to_thread(generate_latest, registry)
                await _send(send, scope, 200, text, CONTENT_TYPE_LATEST)
            case _:
                await _send(send, scope, 404, b"", _JSON)

    return answer


async def _send(send: Send, scope: Scope, status: int, body: bytes, media_type: str) -> None:
    fields = {"content-length": str(len(body)), "cache-control": "no-store"}
    if body:
        fields["content-type"] = media_type
    if status == 405:
        fields["allow"] = "GET, HEAD"
    headers = [(name.encode(), value.encode()) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
