"""A server that answers as the Hugging Face hub does, on a free port of loopback: one commit of any repository."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "a" * 40


@dataclass
class Hub:
    """What the server has, and how it misbehaves.

    Args:
        files: of the repository, by path.
        error: the status and the hub's code of an error that answers everything.
        etag: the name that the server gives to each file's content; None: a hash.
        served: bytes that the server has sent of each file.
    """

    files: dict[str, str | bytes] = field(default_factory=dict)
    error: tuple[int, str] | None = None
    etag: str | None = None
    url: str = ""
    served: dict[str, int] = field(default_factory=dict)


@contextmanager
def running(hub: Hub) -> Iterator[Hub]:
    """The hub while it answers at its ``url``."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            path = unquote(urlsplit(self.path).path)
            if hub.error:
                return self.answer(hub.error[0], {}, {"X-Error-Code": hub.error[1], "X-Error-Message": "refused"})
            if "/resolve/" in path:
                name = path.split("/resolve/")[1].partition("/")[2]
                if name not in hub.files:
                    return self.answer(404, {}, {"X-Error-Code": "EntryNotFound"})
                return self.file(name)
            if "/tree/" in path:
                return self.answer(200, _tree(hub, path.split("/tree/")[1].partition("/")[2]))
            return self.answer(200, {"id": "some/thing", "sha": COMMIT, "siblings": _siblings(hub), "tags": []})

        do_HEAD = do_GET  # noqa: N815

        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["paths"]
            self.answer(200, [entry for entry in _tree(hub, "") if entry["path"] in asked])

        def file(self, name: str) -> None:
            """The content of a file, or the range of it that is asked for."""
            content = _bytes(hub.files[name])
            headers = {"ETag": f'"{hub.etag or _hash(content)}"', "Accept-Ranges": "bytes"}
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
            start, end = (int(asked[1]), int(asked[2] or len(content) - 1)) if asked else (0, len(content) - 1)
            part = content[start : end + 1]
            if self.command == "GET":
                hub.served[name] = hub.served.get(name, 0) + len(part)
            if asked:
                headers["Content-Range"] = f"bytes {start}-{start + len(part) - 1}/{len(content)}"
            self.answer(206 if asked else 200, part, headers)

        def answer(self, status: int, content, headers=()) -> None:
            body = _bytes(content) if isinstance(content, str | bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in {"X-Repo-Commit": COMMIT, "Content-Length": str(len(body)), **dict(headers)}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_) -> None:
            """Nothing is printed."""

    return Handler


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def _hash(content: str | bytes) -> str:
    return f"{abs(hash(_bytes(content))):040x}"[:40]


def _siblings(hub: Hub) -> list[dict]:
    return [{"rfilename": name} for name in hub.files]


def _tree(hub: Hub, under: str) -> list[dict]:
    return [
        {"type": "file", "path": name, "size": len(_bytes(content)), "oid": _hash(content)}
        for name, content in hub.files.items()
        if name.startswith(under)
    ]
