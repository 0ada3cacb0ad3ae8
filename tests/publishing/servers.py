"""Small servers on loopback: one that answers what a test says, and a witness."""

from __future__ import annotations

import re
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auditkit_django.exceptions import VerificationError
from auditkit_django.ledger.checkpoint import parse_checkpoint
from auditkit_django.ledger.note import COSIGNATURE, VerifierKey, format_vkey, parse
from auditkit_django.ledger.proofs import verify_consistency


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes


Answering = Callable[[Asked], tuple[int, bytes] | tuple[int, bytes, dict[str, str]]]


@contextmanager
def serving(answer: Answering) -> Iterator[str]:
    """The URL of a server that answers POST requests by ``answer``."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, data, *more = answer(Asked(self.path, headers, body))
            try:
                self.send_response(status)
                for name, value in (more[0] if more else {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except OSError:
                # Whoever asked has gone.
                return

        def log_message(self, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class TestWitness:
    """A witness in memory that keeps to c2sp.org/tlog-witness; ``seen`` is size and root by origin."""

    __test__ = False

    name: str = "witness.example.org/w1"
    knows_all: bool = True
    seen: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    asked: list[tuple[str, int, int]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    private: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def key(self) -> VerifierKey:
        public = self.private.public_key().public_bytes_raw()
        return VerifierKey(name=self.name, algorithm=COSIGNATURE, public=public)

    @property
    def vkey(self) -> str:
        return format_vkey(self.key)

    def __call__(self, asked: Asked) -> tuple[int, bytes]:
        status, body = self._answer(asked)
        self.statuses.append(status)
        return status, body

    def _answer(self, asked: Asked) -> tuple[int, bytes]:
        assert asked.path.endswith("/add-checkpoint")
        top, _, note = asked.body.decode().partition("\n\n")
        first, *lines = top.split("\n")
        match = re.fullmatch(r"old (0|[1-9]\d*)", first)
        if match is None:
            return 400, b""
        old, proof = int(match[1]), [b64decode(line, validate=True) for line in lines]
        text = parse(note).text
        checkpoint = parse_checkpoint(text)
        self.asked.append((checkpoint.origin, old, checkpoint.size))
        if not self.knows_all:
            return 404, b""
        size, root = self.seen.get(checkpoint.origin, (0, b""))
        if old != size:
            return 409, f"{size}\n".encode()
        try:
            if size:
                verify_consistency(size, checkpoint.size, proof, root, checkpoint.root)
        except VerificationError:
            return 422, b"it does not extend what was seen"
        self.seen[checkpoint.origin] = (checkpoint.size, checkpoint.root)
        return 200, self.cosignature(text)

    def cosignature(self, text: str, *, at: int | None = None) -> bytes:
        at = int(time.time()) if at is None else at
        signature = self.private.sign(f"cosignature/v1\ntime {at}\n{text}".encode())
        blob = self.key.key_id + at.to_bytes(8) + signature
        return f"— {self.name} {b64encode(blob).decode()}\n".encode()
