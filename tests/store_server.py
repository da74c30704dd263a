"""moto's S3 server as a process of its own, which counts requests and fails those that it is told to.

    python -m tests.store_server

It says on stdout where it listens, and ends with the process that started it.

GET  /.control           {"GET": requests so far, "LIST": those that list, ...}, and the counts begin anew
POST /.control           {"method": "PUT", "match": "text of the path", "times": 3, "status": 503, "code": "SlowDown"}:
                         the next requests that match get this answer; "cut": true breaks the body off instead
POST /.control {}        nothing fails any more
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

PATH = "/.control"
Start = Callable[..., Any]


class Control:
    """WSGI around moto's application."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self._counts: Counter[str] = Counter()
        self._fault: dict[str, Any] = {}
        self._seconds = 0.0
        self._lock = threading.Lock()

    def __call__(self, environment: dict[str, Any], start: Start) -> Iterable[bytes]:
        method, path = environment["REQUEST_METHOD"], environment["PATH_INFO"]
        if path == PATH:
            return self._controlled(method, environment, start)
        with self._lock:
            listing = method == "GET" and "list-type" in environment["QUERY_STRING"]
            self._counts["LIST" if listing else method] += 1
            fault = self._fault if self._hits(method, f"{path}?{environment['QUERY_STRING']}") else {}
        if fault and not fault.get("cut"):
            text = f"<Error><Code>{fault['code']}</Code><Message>as told</Message></Error>"
            start(f"{fault['status']} told", [("Content-Type", "application/xml")])
            return [text.encode()]
        time.sleep(self._seconds)
        answer = self._application(environment, start)
        if fault:
            body = b"".join(answer)
            return [body[: len(body) // 2]]
        return answer  # type: ignore[no-any-return]

    def _hits(self, method: str, path: str) -> bool:
        fault = self._fault
        if not fault.get("times") or fault.get("method", method) != method or fault.get("match", "") not in path:
            return False
        fault["times"] -= 1
        return True

    def _controlled(self, method: str, environment: dict[str, Any], start: Start) -> Iterable[bytes]:
        with self._lock:
            if method == "POST":
                self._fault = json.loads(environment["wsgi.input"].read(int(environment["CONTENT_LENGTH"])))
                self._seconds = self._fault.get("seconds", 0.0)
            said = json.dumps(self._counts)
            self._counts.clear()
        start("200 OK", [("Content-Type", "application/json")])
        return [said.encode()]


def main() -> None:
    """Serve until killed."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_request(self, code: Any = "-", size: Any = "-") -> None:
            """No line a request."""

    application = Control(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet)
    print(f"http://127.0.0.1:{server.port}", flush=True)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    server.serve_forever()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


if __name__ == "__main__":
    main()
