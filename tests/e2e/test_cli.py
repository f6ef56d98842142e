"""The command line: what it prints, what it ends with, lost answers, keys, bad input."""

from __future__ import annotations

import json
import os
import pathlib
import re
import signal
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
import zmq

from fleet import (ERROR, FAIL, REPLY, REQUEST, Coordinator, FakeWorker, Front, find_binary, result,
                   wait_until)

NOOP = {"stages": [{"kind": "noop"}], "task_items": 2}


class Cli:
    """`drover` with an environment of its own."""

    def __init__(self, folder: pathlib.Path, url: str) -> None:
        self.folder = folder
        self.env = {**{k: v for k, v in os.environ.items() if not k.startswith(("DROVER_", "XDG_"))},
                    "HOME": str(folder), "DROVER_URL": url}

    def start(self, *args: object, **more: Any) -> subprocess.Popen[str]:
        return subprocess.Popen([str(find_binary("drover")), *map(str, args)], cwd=self.folder,
                                env=self.env, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, **{"stdin": subprocess.DEVNULL, **more})

    def run(self, *args: object, stdin: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
        process = self.start(*args, stdin=subprocess.PIPE)
        out, err = process.communicate(stdin, timeout=60)
        assert process.returncode == code, f"ended with {process.returncode}, not {code}:\n{out}{err}"
        return subprocess.CompletedProcess(process.args, code, out, err)

    def json(self, *args: object, **more: Any) -> Any:
        return json.loads(self.run(*args, "-o", "json", **more).stdout)

    def submit(self, items: list[str], *args: object, **spec: Any) -> str:
        text = json.dumps({**NOOP, "input": {"items": items}, **spec})
        return self.run("job", "submit", "-", "-o", "name", *args, stdin=text).stdout.strip()


@pytest.fixture
def cli(tmp_path: pathlib.Path, coordinator: Coordinator) -> Cli:
    return Cli(tmp_path, coordinator.front)


@pytest.fixture
def offline(tmp_path: pathlib.Path) -> Cli:
    return Cli(tmp_path, "tcp://127.0.0.1:1")


# ---- the whole way ----

def test_from_submit_to_rows(cli: Cli, front: Front, coordinator: Coordinator,
                             fake_workers: Callable[..., FakeWorker]) -> None:
    job = cli.submit(["a", "b", "c", "d\u00e9"], name="nightly")
    worker = fake_workers(coordinator)
    worker.hello()
    follower = cli.start("job", "results", "nightly", "--follow")
    waiter = cli.start("job", "wait", job, "-o", "json")
    worker.work(lambda: front.call("job.status", job=int(job))["state"] == "done")
    out, _ = follower.communicate(timeout=30)
    assert sorted(json.loads(line)["item"] for line in out.splitlines()) == ["a", "b", "c", "d\u00e9"]
    out, _ = waiter.communicate(timeout=30)
    assert waiter.returncode == 0
    assert json.loads(out)["state"] == "done"

    shown = cli.json("job", "show", "last")
    assert (shown["job"], shown["name"], shown["rows"]) == (job, "nightly", 4)
    assert shown["created"].endswith("Z")
    assert cli.json("job", "ls")[0]["job"] == job
    assert cli.run("job", "ls", "-o", "name").stdout == f"{job}\n"
    lines = cli.run("job", "ls").stdout.splitlines()
    assert lines[0].split()[:3] == ["JOB", "NAME", "STATE"]
    assert lines[1].split()[:3] == [job, "nightly", "done"]
    assert json.loads(cli.run("job", "ls", "-o", "jsonl").stdout.splitlines()[0])["job"] == job

    status = cli.json("status")
    assert status["workers"] == {"ready": 1, "draining": 0, "lost": 0}
    glance = cli.run("status").stdout
    assert glance.startswith("● healthy") and "1 ready · 0 draining · 0 lost" in glance
    head, queue = glance.splitlines()[-2:]
    assert head.split() == ["QUEUE", "READY", "RUNNING", "DELAYED", "DEAD", "OLDEST", "RATE/s",
                            "ROWS/s", "P95", "RUN", "ETA"]
    assert queue.split()[:5] == ["default", "0", "0", "0", "0"] and queue.split()[8] != "-"
    assert cli.run("job", "results", "night").stdout.count("\n") == 4  # a name's beginning
    assert cli.run("job", "results", job, "--rejects").stdout == ""


def test_input_from_lines_in_chunks(cli: Cli, front: Front) -> None:
    lines = "\n".join(f"item-{i}" for i in range(4500)) + "\n\n"
    (cli.folder / "job.json").write_text(json.dumps(NOOP))
    out = cli.run("job", "submit", "job.json", "--input", "-", "--name", "big", stdin=lines).stdout
    assert "4,500 inputs" in out
    shown = cli.json("job", "show", "big")
    assert (shown["items"], shown["sealed"]) == (4500, True)
    # submitting it again by its name adds nothing
    out = cli.run("job", "submit", "job.json", "--input", "-", "--name", "big", stdin=lines).stdout
    assert "there already" in out
    assert cli.json("job", "show", "big")["items"] == 4500


def test_submit_that_was_broken_off_goes_on(cli: Cli, front: Front) -> None:
    spec = json.dumps({**NOOP, "name": "half"})
    job = front.call("job.submit", spec=json.dumps(json.loads(spec), separators=(",", ":")),
                     idem="x")["job"]
    items = [f"i{n}" for n in range(5000)]
    front.call("job.input", job=job, chunk=0, items=items[:2000])
    (cli.folder / "job.json").write_text(spec)
    cli.run("job", "submit", "job.json", "--input", "-", stdin="\n".join(items))
    assert front.call("job.status", job=job)["items"] == 5000


def test_exit_codes_of_waiting(cli: Cli, coordinator: Coordinator,
                               fake_workers: Callable[..., FakeWorker]) -> None:
    job = cli.submit(["a"], name="slow")
    assert "has not ended in time" in cli.run("job", "wait", job, "--timeout", "50ms", code=124).stderr
    cli.run("job", "cancel", job)
    cli.run("job", "wait", job, code=11)
    failed = cli.submit(["a"], retry={"attempts": 1})
    worker = fake_workers(coordinator)
    worker.hello()
    worker.credit(5)
    [task] = worker.take(1)
    worker.results([result(task, FAIL, error="HTTP_403: no\x1b[31m")])
    out = cli.run("job", "wait", failed, code=10).stdout
    assert re.search(r"STATE +failed", out)


def test_dead_letters(cli: Cli, coordinator: Coordinator, front: Front,
                      fake_workers: Callable[..., FakeWorker]) -> None:
    job = cli.submit(["a", "b"], name="bad", task_items=1, retry={"attempts": 1})
    worker = fake_workers(coordinator)
    worker.hello()
    worker.credit(5)
    worker.results([result(task, FAIL, error="PARSE: \x1b[31mred") for task in worker.take(2)])
    cli.run("job", "wait", job, code=10)
    letters = cli.json("dead", "ls", "bad")
    assert [letter["job"] for letter in letters] == [job, job]
    assert letters[0]["error"] == "PARSE: \x1b[31mred"
    table = cli.run("dead", "ls").stdout
    assert "PARSE: ?[31mred" in table and "\x1b" not in table  # no escape reaches the terminal
    task = letters[0]["task"]
    assert cli.json("dead", "show", task)["task"] == task
    declined = cli.run("dead", "discard", "--job", "bad", code=6)
    assert "Discard 2 dead letters" in declined.stderr and "PARSE" in declined.stderr
    assert len(cli.json("dead", "ls")) == 2
    assert cli.json("dead", "discard", task) == {"discarded": 1}
    assert cli.json("dead", "retry", "--job", "bad", "-y") == {"retried": 1}
    assert cli.json("job", "show", "bad")["state"] == "open"
    cli.run("dead", "show", "999999", code=3)
    cli.run("dead", "retry", code=2)


def test_workers(cli: Cli, coordinator: Coordinator,
                 fake_workers: Callable[..., FakeWorker]) -> None:
    for name in ("left-1", "left-2", "right-1"):
        fake_workers(coordinator, name=name).hello()
    names = cli.run("worker", "ls", "-o", "name").stdout.split()
    assert sorted(names) == ["left-1", "left-2", "right-1"]
    assert cli.json("worker", "drain", "r")["state"] == "draining"
    assert cli.json("worker", "show", "right-1")["state"] == "draining"
    assert cli.json("worker", "resume", "right-1")["state"] == "ready"
    assert "left-1" in cli.run("worker", "show", "left", code=2).stderr  # it can be two
    cli.run("worker", "show", "middle", code=3)


def test_interrupted_wait_says_how_to_go_on(cli: Cli, front: Front) -> None:
    job = cli.submit(["a"])
    seen = front.call("job.status", job=int(job))["version"]
    process = cli.start("job", "wait", job, "--timeout", "60s", "-o", "json")
    wait_until(lambda: connected(process.pid), "the connection of the waiting process")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert f"drover job wait {job}" in err
    assert front.call("job.status", job=int(job))["version"] >= seen


def connected(pid: int) -> bool:
    """Whether the process has a TCP connection that is established, by /proc."""
    sockets = set()
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            sockets.add(os.readlink(fd))
        except OSError:
            continue
    rows = pathlib.Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    rows += pathlib.Path(f"/proc/{pid}/net/tcp6").read_text().splitlines()[1:]
    return any(f"socket:[{row.split()[9]}]" in sockets and row.split()[3] == "01" for row in rows)


# ---- bad input ----

@pytest.mark.parametrize("args, want", [
    (["stats"], 'no command "stats" (did you mean "status"?)'),
    (["job", "shw", "1"], 'no "job shw" (did you mean "show"?)'),
    (["job"], "job what? One of: submit, check, ls"),
    (["job", "show"], "usage: drover job show JOB"),
    (["job", "ls", "1"], '"1" is too much; usage: drover job ls'),
    (["job", "ls", "--max", "all"], '--max: "all" is not a number from 1'),
    (["job", "wait", "1", "--timeout", "5x"], '"5x" is not a duration such as 30s or 10m'),
    (["job", "submit", "nothing.json"], "nothing.json: No such file or directory"),
    (["job", "submit", "/tmp"], "/tmp: Is a directory"),
    (["status", "--url", "coordinator"], '"coordinator" is no address such as tcp://127.0.0.1:7700'),
    (["status", "-o"], "-o needs a value"),
    (["dead", "retry"], "give a task, or --job for all of a job"),
    (["explain"], "give a job, or --task"),
    (["help", "jbo"], 'no command "jbo" (did you mean "job"?)'),
    (["sink", "init", "warehouse"], '"warehouse" is no address such as postgresql://'),
    (["job", "ls", "--wait"], '--wait means nothing to "job ls"'),
    (["job", "ls", "--outptu=json"], "no flag --outptu (did you mean \"--output\"?)"),
    (["job", "ls", "-o", "xml"], "-o is table, wide, json, jsonl or name"),
    (["status", "--config=/nonexistent"], "/nonexistent: No such file"),
])
def test_usage_errors(offline: Cli, args: list[str], want: str) -> None:
    assert want in offline.run(*args, code=2).stderr


def test_help_and_version(offline: Cli) -> None:
    text = offline.run("--help").stdout
    for command in ("job submit FILE", "dead retry TASK", "server check", "--key-file FILE"):
        assert command in text
    assert "--follow" in offline.run("help", "job").stdout
    assert offline.run("version").stdout.startswith("drover ")
    assert offline.run("--version").stdout == offline.run("version").stdout
    assert offline.json("version")["protocol"] == 1
    offline.run(code=2)


@pytest.mark.parametrize("text, want", [
    ("{", "line 1, column"),
    ("[]", "a JSON object"),
    (json.dumps({**NOOP, "input": ["a"]}), "input: "),
    (json.dumps({**NOOP, "input": {"items": [1]}}), "element 0 is not a text"),
    (json.dumps({**NOOP, "input": {"items": ["a"]}, "prioritty": 1}),
     'prioritty: unknown key (did you mean "priority"?)'),
    (json.dumps({"stages": [{"kind": "scrape"}], "input": {"urls": ["ftp://x"]}}), "items[0]"),
])
def test_bad_jobs(cli: Cli, text: str, want: str) -> None:
    assert want in cli.run("job", "submit", "-", stdin=text, code=1).stderr


def test_a_job_without_input(cli: Cli) -> None:
    assert "no input" in cli.run("job", "submit", "-", stdin=json.dumps(NOOP), code=2).stderr


def test_a_submit_that_fails_leaves_no_open_job(cli: Cli) -> None:
    """Without a name nobody could go on with it."""
    text = json.dumps(NOOP)
    cli.run("job", "submit", "-", "--input", "nothing.txt", stdin=text, code=1)
    assert [job["state"] for job in cli.json("job", "ls")] == ["cancelled"]
    failed = cli.run("job", "submit", "-", "--input", "nothing.txt", "--name", "nightly", stdin=text, code=1)
    assert "is open; the same command goes on with its input" in failed.stderr
    assert cli.json("job", "show", "nightly")["state"] == "open"


def test_unknown_things_end_with_3(cli: Cli) -> None:
    for args in (["job", "show", "nothing"], ["job", "show", "77"], ["job", "wait", "last"],
                 ["worker", "show", "w"]):
        cli.run(*args, code=3)


def test_config_show(offline: Cli) -> None:
    folder = offline.folder / ".config" / "drover"
    folder.mkdir(parents=True)
    (folder / "client.conf").write_text("key_file = mine.key\n")
    rows = {row["key"]: row for row in offline.json("config", "show")}
    assert rows["url"]["origin"] == "environment DROVER_URL"
    assert rows["key_file"] == {**rows["key_file"], "value": "mine.key",
                                "origin": f"file {folder}/client.conf:1"}
    assert rows["server_key_file"]["value"] is None
    assert "ORIGIN" in offline.run("config", "show", "--origin").stdout
    (folder / "client.conf").write_text("key_fiel = mine.key\n")
    assert 'did you mean "key_file"' in offline.run("config", "show", code=2).stderr


def test_config_of_the_coordinator(cli: Cli, coordinator: Coordinator) -> None:
    rows = {row["key"]: row for row in cli.json("config", "show", "--server")}
    assert rows["data_dir"]["value"] == str(coordinator.data_dir)


# ---- a coordinator that loses and repeats ----

class Lossy(threading.Thread):
    """A front that plays answers: each entry of the script answers one received message.

    "lose": no answer. "strange": noise and the answer to another request first. An int: that error.
    """

    def __init__(self, script: list[Any]) -> None:
        super().__init__(daemon=True)
        self.script, self.seen = script, []
        self.over = threading.Event()
        self.socket = zmq.Context.instance().socket(zmq.ROUTER)
        self.socket.linger = 0
        self.port = self.socket.bind_to_random_port("tcp://127.0.0.1")

    def run(self) -> None:
        for step in self.script:
            if not self.socket.poll(20000):
                break
            peer, frame = self.socket.recv_multipart()
            version, kind, epoch, session, seq, ack, body = msgpack.unpackb(frame)
            assert (version, kind, epoch, session, ack) == (1, REQUEST, 0, 0, 0)
            self.seen.append((seq, *body))
            if step == "lose":
                continue
            if step == "strange":
                self.socket.send_multipart([peer, b"\x93\x01"])
                self.reply(peer, seq, [seq + 99, {"version": "of another request"}])
            if isinstance(step, int):
                self.send(peer, ERROR, seq, [seq, step, "NAME", "said no", 0])
            else:
                self.reply(peer, seq, [seq, {"version": "9.9", "protocol": 1, "epoch": 2 ** 60,
                                             "uptime_s": 1.5, "role": "admin", "name": ""}])
        # libzmq drops what the other side received and has not read when the connection ends
        self.over.wait(30)
        self.socket.close()

    def send(self, peer: bytes, kind: int, seq: int, body: list[Any]) -> None:
        self.socket.send_multipart([peer, msgpack.packb([1, kind, 7, 0, seq, seq, body])])

    def reply(self, peer: bytes, seq: int, body: list[Any]) -> None:
        self.send(peer, REPLY, seq, body)


def play(tmp_path: pathlib.Path, script: list[Any],
         code: int = 0) -> tuple[Lossy, subprocess.CompletedProcess[str]]:
    front = Lossy(script)
    front.start()
    cli = Cli(tmp_path, f"tcp://127.0.0.1:{front.port}")
    try:
        return front, cli.run("server", "info", "-o", "json", code=code)
    finally:
        front.over.set()
        front.join(20)


def test_lost_requests_are_sent_again_with_the_same_number(tmp_path: pathlib.Path) -> None:
    front, done = play(tmp_path, ["lose", "strange"])
    assert [seen[0] for seen in front.seen] == [1, 1]
    assert front.seen[0] == front.seen[1]
    info = json.loads(done.stdout)
    assert info["version"] == "9.9"
    assert info["epoch"] == str(2 ** 60)  # as text: a double would change it


@pytest.mark.parametrize("error, code", [(12, 3), (30, 4), (2, 1), (40, 11), (15, 1)])
def test_errors_become_exit_codes(tmp_path: pathlib.Path, error: int, code: int) -> None:
    _, done = play(tmp_path, [error], code)
    assert "said no" in done.stderr


def test_nobody_there(offline: Cli) -> None:
    assert "does not accept connections" in offline.run("status", code=5).stderr


# ---- keys ----

def test_keys_from_nothing_to_a_revoked_one(tmp_path: pathlib.Path, coordinators) -> None:
    cli = Cli(tmp_path, "tcp://127.0.0.1:1")
    for name in ("server", "ann", "bob"):
        made = cli.run("key", "gen", f"{name}.key", "-o", "name").stdout.strip()
        assert len(made) == 40
    assert (tmp_path / "server.key").stat().st_mode & 0o777 == 0o600
    assert "not overwritten" in cli.run("key", "gen", "ann.key", code=1).stderr
    cli.run("key", "authorize", "admin", "ann", "ann.key.pub", "--file", "authorized")
    assert cli.json("key", "ls", "--file", "authorized")[0]["name"] == "ann"
    cli.run("key", "authorize", "root", "x", "ann.key.pub", "--file", "authorized", code=2)

    one = coordinators(**{"key.file": tmp_path / "server.key",
                          "key.authorized": tmp_path / "authorized"}).start()
    cli.env["DROVER_URL"] = one.front
    ann = ["--key", "ann.key", "--server-key", "server.key.pub"]
    bob = ["--key", "bob.key", "--server-key", "server.key.pub"]
    assert cli.json("server", "info", *ann)["name"] == "ann"
    assert "refused the key" in cli.run("status", *bob, code=4).stderr
    assert "wants a key" in cli.run("status", code=4).stderr
    assert "--server-key is missing" in cli.run("status", "--key", "ann.key", code=2).stderr
    cli.run("key", "authorize", "client", "bob", "bob.key.pub", *ann)
    assert {row["name"]: row["role"] for row in cli.json("key", "ls", *ann)} == \
        {"ann": "admin", "bob": "client"}
    assert cli.json("server", "info", *bob)["role"] == "client"
    assert "administrator" in cli.run("key", "ls", *bob, code=4).stderr
    cli.run("key", "revoke", "bob", *ann)
    cli.run("status", *bob, code=4)
    report = cli.json("server", "check", *ann, code=1)  # no workers
    assert {"result": "ok", "check": "key accepted as admin ann"} in report
    os.chmod(tmp_path / "ann.key", 0o644)
    assert "chmod 600" in cli.run("status", *ann, code=2).stderr


def test_check_of_a_fleet_without_keys(cli: Cli, coordinator: Coordinator,
                                       fake_workers: Callable[..., FakeWorker]) -> None:
    assert "FAIL    0 workers ready" in cli.run("server", "check", code=1).stdout
    fake_workers(coordinator).hello()
    out = cli.run("server", "check").stdout
    assert "FAIL" not in out and "1 workers ready" in out
