"""A stand-in of the Hub: the part of its API that the client's uploads and downloads of small files use."""

import base64
import hashlib
import http.server
import json
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

hub = pytest.importorskip("huggingface_hub")

TOKEN = "hf_a-token-of-the-stand-in"


class Hub(http.server.ThreadingHTTPServer):
    """Repositories in memory: {"models/USER/NAME": {path: bytes}}; those in `private` answer only with the token."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, dict[str, bytes]] = {}
        self.private: set[str] = set()
        self.broken = False
        self.messages: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def commit(self, name: str) -> str:
        """The hash of what a repository holds now."""
        return hashlib.sha1(b"".join(key.encode() + data for key, data in sorted(self.files[name].items()))).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if self.path == "/api/repos/create":
            return self.create(json.loads(body))
        if self.path == "/api/validate-yaml":
            head = yaml.safe_load(json.loads(body)["content"].split("---")[1])
            return self.answer({"errors": [] if isinstance(head, dict) else [{"message": "no table"}], "warnings": []})
        found = re.fullmatch(r"/api/((?:models|datasets)/[^/]+/[^/]+)/(preupload|commit)/main.*", self.path)
        if found is None or not self.known(found[1]) or not self.allowed(writes=True):
            return None
        if found[2] == "preupload":
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            return self.answer({"files": files})
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "header":
                self.server.messages.append(line["value"]["summary"])
            else:
                assert line["key"] == "file"
                self.server.files[found[1]][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        commit = self.server.commit(found[1])
        return self.answer(
            {"success": True, "commitOid": commit, "commitUrl": f"{self.server.url}/{found[1]}/commit/{commit}"}
        )

    def create(self, asked: dict[str, Any]) -> None:
        name = f"{asked.get('type', 'model')}s/{asked['organization']}/{asked['name']}"
        if not self.allowed(writes=True):
            return
        exists = name in self.server.files
        self.server.files.setdefault(name, {})
        if asked.get("visibility") == "private":
            self.server.private.add(name)
        self.answer({"url": f"{self.server.url}/{name.removeprefix('models/')}"}, 409 if exists else 200)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if found := re.fullmatch(r"/api/((?:models|datasets)/[^/]+/[^/]+)(?:/(revision|tree)/([^/]+)/?)?", path):
            if not self.known(found[1], found[3]):
                return None
            files = self.server.files[found[1]]
            if found[2] == "tree":
                entry = lambda path, data: {
                    "type": "file",
                    "path": path,
                    "size": len(data),
                    "oid": hashlib.sha1(data).hexdigest(),
                }
                return self.answer([entry(*item) for item in files.items()])
            sibling = [{"rfilename": path} for path in files]
            return self.answer(
                {"id": found[1].partition("/")[2], "sha": self.server.commit(found[1]), "siblings": sibling}
            )
        found = re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if found is None:
            return self.refuse(404, "EntryNotFound")
        name = f"{found[1] or 'models/'}{found[2]}"
        if not self.known(name, found[3]):
            return None
        if found[4] not in self.server.files[name]:
            return self.refuse(404, "EntryNotFound")
        data = self.server.files[name][found[4]]
        return self.send(
            200, data, {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": self.server.commit(name)}
        )

    def known(self, name: str, revision: str | None = None) -> bool:
        """Whether a repository is there for who asks; else the Hub's answer is sent."""
        if self.server.broken:
            self.refuse(503, "")
        elif name not in self.server.files or (name in self.server.private and not self.token):
            self.refuse(404 if self.token else 401, "RepoNotFound")
        elif revision not in (None, "main", self.server.commit(name)):
            self.refuse(404, "RevisionNotFound")
        else:
            return True
        return False

    @property
    def token(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def allowed(self, writes: bool) -> bool:
        if not self.token:
            self.refuse(401, "")
        return self.token

    def refuse(self, status: int, code: str) -> None:
        self.send(status, b'{"error": "no"}', {"X-Error-Code": code, "X-Error-Message": "no"} if code else {})

    def answer(self, content: Any, status: int = 200) -> None:
        self.send(status, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """The stand-in, with the client turned to it and logged in."""
    from huggingface_hub import constants

    server = Hub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    folder = tmp_path_factory.mktemp("hub")
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, server.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(folder / "token"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield server
    server.shutdown()
    server.server_close()
