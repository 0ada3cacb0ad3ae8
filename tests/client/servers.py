"""A small server of the wire contract on loopback, in a thread, which fails as a test says."""

from __future__ import annotations

import gzip
import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "ak_test_" + "s3cr3tk1" + "_" + "Z" * 43 + "_abc123"


@dataclass
class Asked:
    """A request as it came; ``body`` is decompressed JSON, None where there is none."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Any


@dataclass
class Said:
    """What to answer. ``cut``: the connection ends after half of the body. ``hang``: nothing comes until the end of the test."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    hang: bool = False


def said(status: int, value: object, **headers: str) -> Said:
    return Said(status, json.dumps(value).encode(), {"Content-Type": "application/json", **headers})


def problem(status: int, code: str, detail: str = "no", **headers: str) -> Said:
    return said(status, {"title": "x", "status": status, "detail": detail, "code": code}, **headers)


#: One answer that a test prepared: made before the events are recorded, or after (``loses``).
Play = Callable[["AuditServer", Asked], Said | None]


@dataclass
class AuditServer:
    """
    Records events by their key as the API does: once each. ``plays`` are what goes wrong, one per request, in order.

    ``log`` are the events recorded, ``asked`` the requests.
    """

    url: str = ""
    log: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    plays: deque[Play] = field(default_factory=deque)
    refuse: Callable[[dict[str, Any]], tuple[str, str] | None] = lambda event: None
    answer_get: Callable[[Asked], Said] = lambda asked: problem(404, "not_found")
    most: int = 1000
    ended: threading.Event = field(default_factory=threading.Event)

    def answer(self, asked: Asked) -> Said:
        self.asked.append(asked)
        if self.plays:
            play = self.plays.popleft()
            found = play(self, asked)
            if found is not None:
                return found
        if not asked.path.endswith("/v1/events") or asked.method != "POST":
            return self.answer_get(asked)
        if len(asked.body) > self.most:
            return problem(413, "body_too_large")
        return self.record(asked)

    def record(self, asked: Asked) -> Said:
        results = [self._record_one(index, event) for index, event in enumerate(asked.body)]
        refused = sum(one["status"] == "refused" for one in results)
        status = 201 if not refused else 422 if refused == len(results) else 207
        return said(status, {"results": results})

    def _record_one(self, index: int, event: dict[str, Any]) -> dict[str, Any]:
        refusal = self.refuse(event)
        if refusal is not None:
            return {"index": index, "status": "refused", "code": refusal[0], "detail": refusal[1]}
        key = event["idempotency_key"]
        if key in self.log:
            assert self.log[key] == event, "the same key came with another payload"
            return {"index": index, "status": "repeated", "id": key}
        self.log[key] = event
        return {"index": index, "status": "recorded", "id": key}

    def actions(self) -> list[str]:
        return [event["action"] for event in self.log.values()]

    def posts(self) -> list[int]:
        """How many events each request had."""
        return [len(asked.body) for asked in self.asked if asked.method == "POST"]


def loses(answer: Said) -> Play:
    """The events are recorded, and the answer is another."""

    def play(server: AuditServer, asked: Asked) -> Said:
        server.record(asked)
        return answer

    return play


def says(answer: Said) -> Play:
    """Nothing is recorded."""
    return lambda server, asked: answer


@contextmanager
def serving(server: AuditServer | None = None, *, port: int = 0) -> Iterator[AuditServer]:
    """A server at ``server.url``, the base URL of a client."""
    state = server or AuditServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                data = gzip.decompress(data)
            self.answer(json.loads(data))

        def do_GET(self) -> None:
            self.answer(None)

        def answer(self, body: Any) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            parts = urlsplit(self.path)
            found = state.answer(Asked(self.command, parts.path, parse_qs(parts.query), headers, body))
            if found.hang:
                state.ended.wait(30)
                self.close_connection = True
                return
            self.send_response(found.status)
            for name, value in found.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(found.body)))
            self.end_headers()
            if found.cut:
                self.wfile.write(found.body[: len(found.body) // 2])
                self.wfile.flush()
                # A reset, as of a process that is gone.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
            else:
                self.wfile.write(found.body)

        def log_message(self, *args: Any) -> None: ...

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        # Whoever asked may be gone, or killed.
        def handle_error(self, *args: Any) -> None: ...

    httpd = Server(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{httpd.server_address[1]}/audit/api"
    try:
        yield state
    finally:
        state.ended.set()
        httpd.shutdown()
        httpd.server_close()
        thread.join()
