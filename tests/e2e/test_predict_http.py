"""The port for predictions as any HTTP client may use it: methods, headers, bodies that come in other ways than
one would wish, words that people type wrong."""

from __future__ import annotations

import json
import pathlib
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("sklearn")

from fleet import Coordinator, Front, RemoteError, find_binary  # noqa: E402
import predict_model as pm  # noqa: E402
from predict_http import TOKEN, Http, serving_twice  # noqa: E402

AUTH = f"Authorization: Bearer {TOKEN}\r\n"
BODY = b'{"rows": [{"x": 1, "city": "a"}]}'
ANSWER = {"model": "twice", "version": 1, "rows": [{"y": 2, "name": "a"}]}
PATH = "/v1/models/twice/predict"
EXPECT = "Expect: 100-continue\r\nContent-Length: {}\r\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coordinator]:
    """A fleet with the model `twice`."""
    with serving_twice(tmp_path_factory.mktemp("port")) as coordinator:
        yield coordinator


class Raw:
    """A connection on which bytes are sent as they are."""

    def __init__(self, to: Coordinator) -> None:
        host, port = str(to.ports["predict"]).removeprefix("http://").split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        self.file = self.socket.makefile("rb")

    def send(self, method: str, path: str, headers: str = AUTH, body: bytes = b"") -> None:
        self.socket.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode() + body)

    def answer(self, body: bool = True) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the next one."""
        status = int(self.file.readline().split()[1])
        headers = {}
        while line := self.file.readline().decode().strip():
            key, _, value = line.partition(":")
            headers[key.lower()] = value.strip()
        return status, headers, self.file.read(int(headers["content-length"])) if body and status != 100 else b""

    def close(self) -> None:
        self.file.close()
        self.socket.close()


@pytest.fixture
def raw(served: Coordinator) -> Iterator[Raw]:
    one = Raw(served)
    yield one
    one.close()


def ask(raw: Raw, headers: str = AUTH, body: bytes = BODY) -> tuple[int, Any]:
    raw.send("POST", PATH, headers + f"Content-Length: {len(body)}\r\n", body)
    status, _, answer = raw.answer()
    return status, json.loads(answer)


@pytest.mark.parametrize("method, path, allow", [("GET", PATH, "POST"), ("PUT", PATH, "POST"), ("HEAD", PATH, "POST"),
                                                 ("POST", "/v1/models", "GET, HEAD"), ("DELETE", "/v1/models", "GET, HEAD")])
def test_other_methods(raw: Raw, method: str, path: str, allow: str) -> None:
    """405 says which ones there are; the connection goes on."""
    raw.send(method, path)
    status, headers, _ = raw.answer(body=method != "HEAD")
    assert (status, headers["allow"]) == (405, allow)
    assert ask(raw) == (200, ANSWER)


def test_head_is_get_without_a_body(raw: Raw) -> None:
    raw.send("GET", "/v1/models")
    got = raw.answer()
    raw.send("HEAD", "/v1/models")
    status, headers, _ = raw.answer(body=False)
    assert status == got[0] == 200 and headers["content-length"] == got[1]["content-length"]
    assert ask(raw) == (200, ANSWER)


@pytest.mark.parametrize("headers, status", [
    (f"authorization: bearer {TOKEN}\r\n", 200), (f"Authorization:   Bearer   {TOKEN} \t \r\n", 200),
    (f"Authorization: Basic {TOKEN}\r\n", 401), ("Authorization: Bearer\r\n", 401), ("Authorization: Bearer   \r\n", 401),
    (f"Authorization: Bearer {TOKEN[:10]} {TOKEN[10:]}\r\n", 401), (f"Authorization: {TOKEN}\r\n", 401),
    (f"Authorization: Bearer x\r\n{AUTH}", 401)])
def test_tokens(raw: Raw, headers: str, status: int) -> None:
    """Blanks around the value are none of it."""
    assert ask(raw, headers)[0] == status


@pytest.mark.parametrize("path, headers, status", [
    (PATH, EXPECT.format(9), 401), ("/v1/model", AUTH + EXPECT.format(9), 404), ("/v1/models", AUTH + EXPECT.format(9), 405),
    (PATH, AUTH + EXPECT.format(1 << 30), 413), (PATH, AUTH + f"Content-Length: {1 << 30}\r\n", 413),
    (PATH, f"Content-Length: {1 << 30}\r\n", 401)])
def test_nobody_waits_for_the_body_of_what_is_refused(raw: Raw, path: str, headers: str, status: int) -> None:
    """No 100, and no reading of a gigabyte from who has no token."""
    raw.send("POST", path, headers)
    got, _, answer = raw.answer()
    assert got == status and json.loads(answer)["error"]["detail"]
    assert raw.file.read() == b""


def test_bodies_in_pieces(raw: Raw) -> None:
    """After 100, in chunks, byte by byte, and three requests at a time."""
    raw.send("POST", PATH, AUTH + EXPECT.format(len(BODY)))
    assert raw.answer()[0] == 100
    raw.socket.sendall(BODY)
    assert raw.answer()[0] == 200
    raw.send("POST", PATH, AUTH + "Transfer-Encoding: chunked\r\n")
    for byte in BODY:
        raw.socket.sendall(b"1\r\n%c\r\n" % byte)
    raw.socket.sendall(b"0\r\n\r\n")
    assert json.loads(raw.answer()[2]) == ANSWER
    whole = f"POST {PATH} HTTP/1.1\r\nHost: x\r\n{AUTH}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY
    raw.socket.sendall(whole * 3)
    assert [json.loads(raw.answer()[2]) for _ in range(3)] == [ANSWER] * 3


@pytest.mark.parametrize("body, status, words", [
    (b"\xef\xbb\xbf" + BODY, 200, ""), (b'{"rows": [{"x": -Infinity, "city": "a"}]}', 400, "NaN and Infinity are no JSON"),
    (b'{"rows": [{"x": nan, "city": "a"}]}', 400, "NaN and Infinity are no JSON"),
    (b'{"rows": [1, 2]}', 400, "rows[0]: an object with the columns or a list of values is wanted"),
    (b'{"columns": ["x", "city"], "rows": [{"x": 1}]}', 400, "rows[0]: a list of values is wanted")])
def test_bodies(raw: Raw, body: bytes, status: int, words: str) -> None:
    got, answer = ask(raw, body=body)
    assert got == status and words in (answer["error"]["detail"] if status == 400 else "")


def test_numbers_that_are_too_large_for_a_column(served: Coordinator) -> None:
    """They have no fraction, and the error does not speak of one."""
    g = pm.ow.Graph()
    g.add("Identity", [g.input("i", pm.ow.INT64, None, 1)], ["o"])
    g.output("o", pm.ow.INT64, None, 1)
    front, http = Front(served.front), Http(served)
    pm.add(front, "whole", g.bytes())
    front.close()
    for number in ("9223372036854775807", "-9223372036854775808", "1.0", "1e3"):
        status, answer = http.predict("whole", f'{{"rows": [[{number}]]}}'.encode())
        assert status == 200 and answer["rows"] == [{"o": int(float(number)) if "." in number or "e" in number
                                                     else int(number)}], answer
    for number, words in (("9223372036854775808", "it is too large"), ("1e18", "it is too large"), ("1.5", "a fraction")):
        status, answer = http.predict("whole", f'{{"rows": [[{number}]]}}'.encode())
        assert status == 400 and words in answer["error"]["detail"], answer


def test_names_that_are_nearly_right(served: Coordinator, raw: Raw) -> None:
    """By HTTP, by the protocol and by the command line."""
    meant = 'there is no model named "twcie" (did you mean "twice"?)'
    raw.send("POST", PATH.replace("twice", "twcie"), AUTH + f"Content-Length: {len(BODY)}\r\n", BODY)
    status, _, answer = raw.answer()
    assert status == 404 and json.loads(answer)["error"] == {"code": "NOT_FOUND", "detail": meant}
    front = Front(served.front)
    for verb, args in (("model.show", {}), ("model.rm", {}), ("predict", {"rows": [[1, "a"]]})):
        with pytest.raises(RemoteError) as wrong:
            front.call(verb, name="twcie", **args)
        assert wrong.value.name == "NOT_FOUND" and wrong.value.detail == meant
    front.close()


@pytest.mark.parametrize("args, code, words", [
    (("rm", "twcie", "-y"), 3, 'did you mean "twice"'), (("rm", "twice@9"), 3, "no version 9 of the model twice; the newest is 1"),
    (("rm", "twice", "--version", "9"), 2, "NAME@VERSION"), (("ls", "--json"), 0, '"model": "twice"'),
    (("show", "twice", "--json"), 0, '"explain"'), (("show", "twice", "--jso"), 2, 'did you mean "--json"')])
def test_command_line(served: Coordinator, args: tuple[str, ...], code: int, words: str) -> None:
    """What people type; nothing is removed."""
    done = subprocess.run([str(find_binary("drover")), "--url", served.front, "model", *args], capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == code and words in done.stdout + done.stderr, done.stdout + done.stderr


def test_columns_and_names_for_scripts(served: Coordinator, tmp_path: pathlib.Path) -> None:
    """Blanks behind commas are none of the names; `-o name` gives what rm and show take for one version."""
    file = tmp_path / "matrix.onnx"
    file.write_bytes(pm.classifier(features=3)[0])

    def model(*args: str) -> str:
        return subprocess.run([str(find_binary("drover")), "--url", served.front, "model", *args], check=True, text=True,
                              timeout=60, stdout=subprocess.PIPE).stdout

    model("add", "matrix", str(file), "--columns", "age, income , visits")
    assert [column["name"] for column in json.loads(model("show", "matrix", "--json"))["columns"]] == [
        "age", "income", "visits"]
    assert model("add", "matrix@4", str(file), "-o", "name") == model("show", "matrix", "-o", "name") == "matrix@4\n"
    names = model("ls", "-o", "name").split()
    assert {"matrix@1", "matrix@4", "twice@1"} <= set(names)
    model("rm", "matrix@1")
    assert set(names) - set(model("ls", "-o", "name").split()) == {"matrix@1"}
