# Copyright 2026 The diffusers-jasco authors. All rights reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""A Hub on localhost, in memory: what `huggingface_hub` calls to publish models, to read them and to read data sets, and no more."""

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


LFS_ENDINGS = (".safetensors", ".bin")
RESOLVE = r"(?:/datasets)?/(?P<repo_id>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)"


class HubError(Exception):
    """An answer with an error, whose code tells `huggingface_hub` which exception to raise."""

    def __init__(self, status: int, code: str, message: str):
        super().__init__(message)
        self.status, self.code = status, code


@dataclass
class Repository:
    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, branch: str, files: dict[str, bytes], message: str) -> str:
        content = json.dumps([sorted(self.commits), message, branch])
        sha = hashlib.sha1(content.encode()).hexdigest()
        self.commits[sha], self.branches[branch] = files, sha
        self.messages.append(message)
        return sha

    def resolve(self, revision: str) -> str:
        sha = self.branches.get(revision) or self.tags.get(revision) or revision
        if sha not in self.commits:
            raise HubError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return sha


class Hub:
    """
    The server and what it holds. `token` may write, and read everything; `stranger` belongs to a user who has access to
    nothing that is private or gated.
    """

    token, stranger = "hf_owner", "hf_stranger"

    def __init__(self):
        self.repositories: dict[str, Repository] = {}
        self.lfs_objects: dict[str, bytes] = {}
        self.requests: list[tuple[str, str, int]] = []
        self.unknown_requests: list[tuple[str, str]] = []
        self._cut: str | None = None
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.endpoint = "http://{}:{}".format(*self._server.server_address)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()

    def cut_next(self, ending: str):
        """Closes the connection once, in the middle of the next download of a file with this path suffix."""
        self._cut = ending

    def take_cut(self, path: str) -> bool:
        with self._lock:
            if self._cut is None or not path.endswith(self._cut):
                return False
            self._cut = None
            return True

    def files(self, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        repository = self.repositories[repo_id]
        return repository.commits[repository.resolve(revision)]


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"
    # Otherwise, each response waits 40 ms for the acknowledgment of its headers.
    disable_nagle_algorithm = True

    def log_message(self, *args: Any):
        pass

    def answer(self):
        url = urlsplit(self.path)
        self.query = parse_qs(url.query)
        self.body = self.read_body()
        try:
            for method, pattern, function in ROUTES:
                match = re.fullmatch(pattern, url.path)
                if match and self.command in method.split():
                    # Path components are quoted separately, since a branch name may contain a slash.
                    function(
                        self, **{name: unquote(value) for name, value in match.groupdict(default="").items() if value}
                    )
                    return
            self.hub.unknown_requests.append((self.command, url.path))
            raise HubError(404, "", f"The test's Hub has no {self.command} {url.path}")
        except HubError as error:
            headers = {"X-Error-Code": error.code, "X-Error-Message": str(error)}
            self.send({"error": str(error)}, error.status, headers)

    do_GET = do_HEAD = do_POST = do_PUT = answer

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def send(self, value: Any, status: int = 200, headers: dict[str, str] | None = None):
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.hub.requests.append((self.command, self.path, status))
        self.send_response(status)
        for name, header in ({"Content-Length": str(len(content))} | (headers or {})).items():
            self.send_header(name, header)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    @property
    def user(self) -> str | None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in (Hub.token, Hub.stranger):
            raise HubError(401, "", "Invalid credentials in Authorization header")
        return token or None

    def repository(self, repo_id: str, write: bool = False) -> Repository:
        user, repository = self.user, self.hub.repositories.get(repo_id)
        if repository is None or (repository.private and user != Hub.token):
            raise HubError(404 if user else 401, "RepoNotFound", "Repository not found")
        if write and user != Hub.token:
            raise HubError(403 if user else 401, "", "You need a token that may write")
        return repository

    def stop(self):
        self.send({})
        self.close_connection = True
        # Closing the server only waits for this thread.
        threading.Thread(target=self.hub.stop).start()

    def who_am_i(self):
        if self.user is None:
            raise HubError(401, "", "Invalid username or password.")
        self.send({"type": "user", "name": "owner" if self.user == Hub.token else "stranger", "orgs": []})

    def create(self):
        if self.user != Hub.token:
            raise HubError(403 if self.user else 401, "", "You need a token that may write")
        wanted = json.loads(self.body)
        repo_id = f"{wanted.get('organization') or 'owner'}/{wanted['name']}"
        answer = {"url": f"{self.hub.endpoint}/{repo_id}", "name": repo_id}
        if repo_id in self.hub.repositories:
            self.send(answer | {"error": "You already created this model repo"}, 409)
            return
        repository = Repository(private=wanted.get("visibility") == "private")
        repository.commit("main", {".gitattributes": b"*.safetensors filter=lfs\n"}, "initial commit")
        self.hub.repositories[repo_id] = repository
        self.send(answer)

    def validate_yaml(self):
        self.send({"errors": [], "warnings": []})

    def info(self, repo_id: str, revision: str = "main"):
        repository = self.repository(repo_id)
        sha = repository.resolve(revision)
        siblings = [{"rfilename": path} for path in sorted(repository.commits[sha])]
        answer = {"id": repo_id, "modelId": repo_id, "sha": sha, "siblings": siblings, "tags": []}
        self.send(answer | {"private": repository.private, "gated": "manual" if repository.gated else False})

    def tree(self, repo_id: str, revision: str, folder: str = ""):
        repository = self.repository(repo_id)
        sha = repository.resolve(revision)
        is_recursive = self.query.get("recursive", ["false"])[0].lower() == "true"
        entries = {}
        for path, content in sorted(repository.commits[sha].items()):
            if folder and not path.startswith(f"{folder}/"):
                continue
            below = path[len(folder) + 1 :] if folder else path
            if "/" in below and not is_recursive:
                parent = path[: len(path) - len(below)] + below.split("/")[0]
                entries[parent] = {"type": "directory", "path": parent, "oid": _git_id(parent.encode()), "size": 0}
                continue
            entries[path] = {"type": "file", "path": path, "oid": _git_id(content), "size": len(content)}
            if path.endswith(LFS_ENDINGS):
                entries[path]["lfs"] = {"oid": _sha256(content), "size": len(content), "pointerSize": 134}
        if folder and not entries:
            raise HubError(404, "EntryNotFound", f"{folder} does not exist on {revision}")
        self.send(list(entries.values()))

    def references(self, repo_id: str):
        repository = self.repository(repo_id)
        lists = {
            kind: [{"name": name, "ref": f"refs/{ref}/{name}", "targetCommit": sha} for name, sha in names.items()]
            for kind, ref, names in (("branches", "heads", repository.branches), ("tags", "tags", repository.tags))
        }
        self.send(lists | {"converts": [], "pullRequests": []})

    def create_branch(self, repo_id: str, branch: str):
        repository = self.repository(repo_id, write=True)
        if branch in repository.branches:
            raise HubError(409, "", f"Reference already exists: {branch}")
        start = json.loads(self.body or b"{}").get("startingPoint", "main")
        repository.branches[branch] = repository.resolve(start)
        self.send({})

    def create_tag(self, repo_id: str, revision: str):
        repository = self.repository(repo_id, write=True)
        repository.tags[json.loads(self.body)["tag"]] = repository.resolve(revision)
        self.send({})

    def preupload(self, repo_id: str, revision: str):
        self.repository(repo_id, write=True).resolve(revision)
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(LFS_ENDINGS) else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(self.body)["files"]
        ]
        self.send({"files": files})

    def lfs_batch(self, repo_id: str):
        self.repository(repo_id, write=True)
        objects = json.loads(self.body)["objects"]
        for wanted in objects:
            if wanted["oid"] not in self.hub.lfs_objects:
                wanted["actions"] = {"upload": {"href": f"{self.hub.endpoint}/lfs/{wanted['oid']}"}}
        self.send({"transfer": "basic", "objects": objects})

    def lfs_upload(self, oid: str):
        if _sha256(self.body) != oid:
            raise HubError(400, "", "The content is not what was announced")
        self.hub.lfs_objects[oid] = self.body
        self.send({})

    def commit(self, repo_id: str, revision: str):
        repository = self.repository(repo_id, write=True)
        files, message = dict(repository.commits[repository.resolve(revision)]), ""
        for line in self.body.splitlines():
            entry = json.loads(line)
            kind, value = entry["key"], entry["value"]
            if kind == "header":
                message = value["summary"]
            elif kind == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif kind == "lfsFile":
                files[value["path"]] = self.hub.lfs_objects[value["oid"]]
            elif kind == "deletedFile":
                del files[value["path"]]
            else:
                raise HubError(400, "", f"The test's Hub knows no {kind}")
        answer = {}
        if "create_pr" in self.query:
            number = 1 + sum(branch.startswith("refs/pr/") for branch in repository.branches)
            revision = f"refs/pr/{number}"
            answer["pullRequestUrl"] = f"{self.hub.endpoint}/{repo_id}/discussions/{number}"
        sha = repository.commit(revision, files, message)
        self.send(answer | {"commitUrl": f"{self.hub.endpoint}/{repo_id}/commit/{sha}", "commitOid": sha})

    def resolve(self, repo_id: str, revision: str, path: str):
        repository = self.repository(repo_id)
        if repository.gated and self.user != Hub.token:
            message = f"Access to model {repo_id} is restricted and you are not in the authorized list."
            raise HubError(403 if self.user else 401, "GatedRepo", message)
        sha = repository.resolve(revision)
        content = repository.commits[sha].get(path)
        if content is None:
            raise HubError(404, "EntryNotFound", "Entry not found")
        etag = _sha256(content) if path.endswith(LFS_ENDINGS) else _git_id(content)
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": sha, "Accept-Ranges": "bytes"}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted:
            first, last = int(wanted[1]), min(int(wanted[2] or len(content)), len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            self.send(content[first : last + 1], 206, headers)
        elif self.command == "GET" and self.hub.take_cut(path):
            self.send(content[: len(content) // 2], 200, headers | {"Content-Length": str(len(content))})
            self.close_connection = True
        else:
            self.send(content, 200, headers)


_API = r"/api/(?:models|datasets)/(?P<repo_id>[^/]+/[^/]+)"
ROUTES = [
    # Not part of the Hub's API: for processes that test behavior without the Hub.
    ("POST", r"/stop", _Handler.stop),
    ("GET", r"/api/whoami-v2", _Handler.who_am_i),
    ("POST", r"/api/repos/create", _Handler.create),
    ("POST", r"/api/validate-yaml", _Handler.validate_yaml),
    ("GET", _API, _Handler.info),
    ("GET", rf"{_API}/revision/(?P<revision>[^/]+)", _Handler.info),
    ("GET", rf"{_API}/tree/(?P<revision>[^/]+)(?:/(?P<folder>.+))?", _Handler.tree),
    ("GET", rf"{_API}/refs", _Handler.references),
    ("POST", rf"{_API}/branch/(?P<branch>[^/]+)", _Handler.create_branch),
    ("POST", rf"{_API}/tag/(?P<revision>[^/]+)", _Handler.create_tag),
    ("POST", rf"{_API}/preupload/(?P<revision>[^/]+)", _Handler.preupload),
    ("POST", rf"{_API}/commit/(?P<revision>[^/]+)", _Handler.commit),
    ("POST", r"/(?P<repo_id>[^/]+/[^/]+)\.git/info/lfs/objects/batch", _Handler.lfs_batch),
    ("PUT", r"/lfs/(?P<oid>[0-9a-f]{64})", _Handler.lfs_upload),
    ("GET HEAD", RESOLVE, _Handler.resolve),
]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _git_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
