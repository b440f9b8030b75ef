"""A proxy before an S3 server that does to requests and answers what bad networks and busy servers do."""

from __future__ import annotations

import http.client
import random
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

FAULTS = ("500", "503", "reset", "delay", "truncate", "flip")
_ERROR = "<?xml version='1.0'?><Error><Code>{code}</Code><Message>by the proxy</Message></Error>"
# Without S3's newer checksums: the ETag must do, as in the stores that have nothing else.
_LEFT_OUT = ("transfer-encoding", "connection", "content-length", "server", "date", "x-amz-checksum")
Answer = tuple[int, dict[str, str], bytes]


class FaultProxy(ThreadingHTTPServer):
    """Passes every request on, and spoils a share of the answers.

    Attributes:
        share: of the answers that are spoilt, each by one of ``FAULTS`` in turn.
        etag: of every object, if it is set.
        refuse: a status and an S3 error code for "METHOD path", instead of an answer; None passes it on.
        once: a fault for a pattern of "METHOD path", whose next request it spoils, whatever chance would do.
        done: how often each fault was inflicted.
        requests: how many came.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, upstream: str, *, share: float, seed: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(upstream).netloc
        self.share = share
        self.etag: str | None = None
        self.refuse: Callable[[str], tuple[int, str] | None] = lambda _: None
        self.once: dict[str, str] = {}
        self.done: Counter[str] = Counter()
        self.requests = 0
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def next_fault(self, request: str) -> str | None:
        """What to do to "METHOD path" and its answer; None leaves them as they are."""
        with self._lock:
            self.requests += 1
            for pattern in [pattern for pattern in self.once if re.search(pattern, request)]:
                return self.once.pop(pattern)
            if self._random.random() >= self.share:
                return None
            # Nobody could notice a flipped bit in a listing or an upload's number: S3 gives no checksum, TLS would.
            without_checksum = "list-type" in request or request.startswith("POST")
            kinds = [fault for fault in FAULTS if not (without_checksum and fault == "flip")]
            fault = min(kinds, key=lambda kind: self.done[kind])
            self.done[fault] += 1
            return fault

    def flipped(self, body: bytes) -> bytes:
        """With one other bit, anywhere."""
        spoilt = bytearray(body)
        with self._lock:
            spoilt[self._random.randrange(len(body))] ^= 1
        return bytes(spoilt)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultProxy

    def do_GET(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request = f"{self.command} {self.path}"
        refused = self.server.refuse(request)
        fault = self.server.next_fault(request)
        if refused is not None:
            self._send(_error(*refused))
        elif fault in {"500", "503"}:
            self._send(_error(int(fault), {"500": "InternalError", "503": "SlowDown"}[fault]))
        elif fault == "flip" and sent:
            self._send(_error(400, "BadDigest"))  # as S3 does, which compares what it gets; Moto would take it
        else:
            self._spoil(self._ask(sent), fault)

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815 - the names that http.server looks for

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def _ask(self, sent: bytes) -> Answer:
        connection = http.client.HTTPConnection(self.server.upstream, timeout=30)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
        connection.request(self.command, self.path, sent or None, headers)
        response = connection.getresponse()
        answer = response.status, dict(response.getheaders()), response.read()
        connection.close()
        return answer

    def _spoil(self, answer: Answer, fault: str | None) -> None:
        status, headers, body = answer
        if fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        if fault == "delay":
            time.sleep(0.3)
        if fault == "flip" and body:
            body = self.server.flipped(body)
        self._send((status, headers, body), whole=fault != "truncate")

    def _send(self, answer: Answer, *, whole: bool = True) -> None:
        status, headers, body = answer
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() == "etag" and self.server.etag:
                self.send_header(name, f'"{self.server.etag}"')
            elif not name.lower().startswith(_LEFT_OUT):
                self.send_header(name, value)
        # An answer to HEAD says how long the body would be.
        size = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(body))
        self.send_header("Content-Length", size)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if whole else body[: len(body) // 2])
        if not whole:
            self.close_connection = True


def _error(status: int, code: str) -> Answer:
    return status, {"Content-Type": "application/xml"}, _ERROR.format(code=code).encode()


@contextmanager
def faulty(upstream: str, *, share: float) -> Iterator[FaultProxy]:
    """Run a proxy until the block is left."""
    with FaultProxy(upstream, share=share) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()
