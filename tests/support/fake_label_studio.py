"""A Label Studio and an image host to test against: small HTTP servers on 127.0.0.1."""

import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import jwt

KEY = "a key of the fake server, at least 32 bytes long"
LEGACY_OFF = (
    "Authentication token no longer valid: "
    "legacy token authentication has been disabled for this organization"
)

Answer = tuple[int, dict[str, str], bytes]


def token(kind: str, *, lifetime_s: float = 300, name: str = "1") -> str:
    """A JWT as Label Studio makes them: kind "refresh" is a personal access token."""
    now = int(time.time())
    claims = {"token_type": kind, "iat": now, "exp": now + lifetime_s, "jti": name}
    return jwt.encode(claims, KEY, algorithm="HS256")


PERSONAL = token("refresh", lifetime_s=10**9)


def error(status: int, detail: str) -> Answer:
    """An error in the shape that Label Studio gives all of its errors."""
    body = {"id": "0", "status_code": status, "detail": detail, "exc_info": None}
    return status, {"Content-Type": "application/json"}, json.dumps(body).encode()


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def authorization(self) -> str | None:
        return self.headers.get("authorization")


class Host:
    """Answers what `pages` holds for a path, else 404; keeps every request.

    A page is its bytes, a whole answer, or a function of the handler that writes the answer.
    """

    def __init__(self, base_path: str = "", port: int = 0) -> None:
        self.base_path = base_path
        self.pages: dict[str, bytes | Answer | Callable[[BaseHTTPRequestHandler], None]] = {}
        self.requests: list[Request] = []
        self.connections: list[socket.socket] = []
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self.server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}{self.base_path}"

    @property
    def paths(self) -> list[str]:
        return [request.path for request in self.requests]

    @property
    def authorizations(self) -> list[str | None]:
        return [request.authorization for request in self.requests]

    def answer(self, request: Request) -> bytes | Answer | Callable:
        return self.pages.get(request.path, (404, {}, b""))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        host = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                host.connections.append(self.connection)

            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.command, self.path, headers, self.rfile.read(length))
                with host.lock:
                    host.requests.append(request)
                answer = host.answer(request)
                if callable(answer):
                    self.close_connection = True
                    answer(self)
                    return
                status, more, body = answer if isinstance(answer, tuple) else (200, {}, answer)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **more}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815 - names of http.server's

            def log_message(self, *args: object) -> None:
                pass

        return Handler

    @contextmanager
    def running(self) -> Iterator["Host"]:
        thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self.server.shutdown()
            thread.join()
            self.server.server_close()
            for connection in self.connections:
                with suppress(OSError):  # most have ended
                    connection.shutdown(socket.SHUT_RDWR)


@dataclass
class Tokens:
    """What the fake Label Studio takes for a login."""

    legacy: str = "0123456789abcdef0123456789abcdef01234567"
    legacy_enabled: bool = True
    personal: str = PERSONAL
    access_lifetime_s: float = 300
    given: list[str] = field(default_factory=list)
    revoked: set[str] = field(default_factory=set)


class FakeLabelStudio(Host):
    """Uploads, local files and cloud links behind the logins of Label Studio 1.23.2.

    `pages` are behind the login; `bucket` maps cloud addresses to answers of `/resolve/`.
    """

    def __init__(self, base_path: str = "") -> None:
        super().__init__(base_path)
        self.tokens = Tokens()
        self.bucket: dict[str, bytes | Answer] = {}

    @property
    def exchanges(self) -> int:
        return self.paths.count(f"{self.base_path}/api/token/refresh/")

    def answer(self, request: Request) -> bytes | Answer | Callable:
        if not request.path.startswith(f"{self.base_path}/"):
            return 404, {}, b"not below the base path"
        path = request.path.removeprefix(self.base_path)
        if path == "/api/token/refresh/":
            return self._exchange(request)
        if refusal := self._refusal(request):
            return refusal
        parts = urlsplit(path)
        if parts.path.endswith("/resolve/"):
            code = parse_qs(parts.query)["fileuri"][0]
            uri = base64.urlsafe_b64decode(code).decode()
            return self.bucket.get(uri, (404, {}, b""))
        if parts.path == "/data/local-files/":
            path = f"{parts.path}?d={parse_qs(parts.query)['d'][0]}"
            return self.pages.get(path, (404, {}, b""))
        missing = error(500, "'NoneType' object has no attribute 'has_permission'")
        return self.pages.get(unquote(path), missing)

    def _exchange(self, request: Request) -> Answer:
        if json.loads(request.body) != {"refresh": self.tokens.personal}:
            return error(401, "Token is invalid")
        with self.lock:
            name = f"access {len(self.tokens.given)}"
            access = token("access", lifetime_s=self.tokens.access_lifetime_s, name=name)
            self.tokens.given.append(access)
        return 200, {"Content-Type": "application/json"}, json.dumps({"access": access}).encode()

    def _refusal(self, request: Request) -> Answer | None:
        if request.authorization is None:
            return error(401, "Authentication credentials were not provided.")
        scheme, _, value = request.authorization.partition(" ")
        if scheme == "Token":
            if value != self.tokens.legacy:
                return error(401, "Invalid token.")
            return None if self.tokens.legacy_enabled else error(401, LEGACY_OFF)
        if value in self.tokens.given and value not in self.tokens.revoked:
            return None
        return error(401, "Given token not valid for any token type")
