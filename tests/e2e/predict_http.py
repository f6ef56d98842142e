"""A small client of the HTTP port for predictions: one connection, kept alive; and a fleet to ask."""

from __future__ import annotations

import http.client
import json
import pathlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import predict_model as pm
from fleet import Coordinator, Front, Process, find_binary, wait_until

TOKEN = "0123456789abcdef0123"


def token_file(folder: pathlib.Path) -> str:
    """A file with the token, for predict.token_file."""
    path = folder / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    return str(path)


class Http:
    """Requests with the token, answers as JSON; `headers` are those of the last answer."""

    def __init__(self, to: Coordinator) -> None:
        host = str(to.ports["predict"]).removeprefix("http://")
        self.connection = http.client.HTTPConnection(host, timeout=30)
        self.headers: dict[str, str] = {}

    def request(self, method: str, path: str, body: Any, token: str | None) -> tuple[int, Any]:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        try:
            self.connection.request(method, path, body, headers, encode_chunked=isinstance(body, Iterator))
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before all of the body was sent: the answer is there
        answer = self.connection.getresponse()
        self.headers = {key.lower(): value for key, value in answer.getheaders()}
        return answer.status, json.loads(answer.read())

    def post(self, path: str, body: Any, token: str | None = TOKEN) -> tuple[int, Any]:
        """POST; what is not bytes is sent as JSON."""
        if not isinstance(body, (bytes, Iterator)):
            body = json.dumps(body).encode()
        return self.request("POST", path, body, token)

    def get(self, path: str) -> tuple[int, Any]:
        """GET."""
        return self.request("GET", path, None, TOKEN)

    def predict(self, name: str, body: Any) -> tuple[int, Any]:
        """The newest version's answer."""
        return self.post(f"/v1/models/{name}/predict", body)


@contextmanager
def serving_twice(folder: pathlib.Path) -> Iterator[Coordinator]:
    """A fleet with the model `twice`, which answers over HTTP."""
    coordinator = Coordinator(folder, **{"predict.listen": "http://127.0.0.1:0",
                                         "predict.token_file": token_file(folder)}).start()
    worker = Process("w", [str(find_binary("drover-worker")), "--coordinator", coordinator.back, "--id", "w"], folder)
    front = Front(coordinator.front)
    pm.add(front, "twice", pm.twice())
    http = Http(coordinator)
    wait_until(lambda: http.predict("twice", {"rows": [{"x": 1, "city": "a"}]})[0] == 200, "a worker")
    yield coordinator
    front.close()
    worker.kill()
    assert coordinator.stop() == 0
