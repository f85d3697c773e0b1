"""A server that answers as the Hugging Face hub does, on a free port of loopback: one commit of any repository."""

import json
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
    """

    files: dict[str, str] = field(default_factory=dict)
    error: tuple[int, str] | None = None
    etag: str | None = None
    url: str = ""


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
                return self.answer(200, hub.files[name], {"ETag": f'"{hub.etag or _hash(hub.files[name])}"'})
            if "/tree/" in path:
                return self.answer(200, _tree(hub, path.split("/tree/")[1].partition("/")[2]))
            return self.answer(200, {"id": "some/thing", "sha": COMMIT, "siblings": _siblings(hub), "tags": []})

        do_HEAD = do_GET  # noqa: N815

        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["paths"]
            self.answer(200, [entry for entry in _tree(hub, "") if entry["path"] in asked])

        def answer(self, status: int, content, headers=()) -> None:
            body = content.encode() if isinstance(content, str) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in {"X-Repo-Commit": COMMIT, "Content-Length": str(len(body)), **dict(headers)}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_) -> None:
            """Nothing is printed."""

    return Handler


def _hash(content: str) -> str:
    return f"{abs(hash(content)):040x}"[:40]


def _siblings(hub: Hub) -> list[dict]:
    return [{"rfilename": name} for name in hub.files]


def _tree(hub: Hub, under: str) -> list[dict]:
    return [
        {"type": "file", "path": name, "size": len(content), "oid": _hash(content)}
        for name, content in hub.files.items()
        if name.startswith(under)
    ]
