"""Cutting files into slices, and uploads against a coordinator that is played here."""

import gzip
import hashlib
import io
import itertools
import json
import random

import pytest

import drover
from drover import InvalidArgument, _blobs, errors
from drover._operations import chunks, submit, Submission
from drover._protocol import QueueFull, Request, steps


def sha_of(data):
    return hashlib.sha256(data).hexdigest()


# ---- slices ----

def reference_rows(data, quote):
    """Rows of a file, byte by byte: a newline ends a row where the quotes before it are even."""
    rows, start, inside = [], 0, False
    for i, byte in enumerate(data):
        if quote and byte == ord(quote):
            inside = not inside
        elif byte == 10 and not inside:
            rows.append(data[start:i + 1])
            start = i + 1
    return rows + ([data[start:]] if start < len(data) else [])


NASTY = [
    b"",
    b"a",
    b"\n",
    b"a\nb\nc\n",
    b"a\nb\nc",
    b'1,"x\ny"\n2,"z"\n',
    b'"\n\n\n\n\n\n\n\n"\n"\n"\nx\n',
    b'1,"say ""hi\n"" there"\n2,b\n',
    b'a,"never ends\nb\nc\n',
    b"\xef\xbb\xbfid\r\n1\r\n\"\r\n\"\r\n",
    b'"""",""""\n"\n",""\n\n\n',
    b"\n" * 50 + b'"' + b"\n" * 50 + b'"' + b"\n" * 50,
]


@pytest.mark.parametrize("data", NASTY)
@pytest.mark.parametrize("quote", ['"', None, "'"])
def test_every_size_of_slice_gives_whole_rows_in_order(data, quote):
    rows = reference_rows(data, quote)
    ends = set(itertools.accumulate(len(row) for row in rows))
    for size in range(1, len(data) + 2):
        parts = list(_blobs.slices(io.BytesIO(data), quote=quote, slice_bytes=size))
        assert b"".join(part.data for part in parts) == data
        at = 0
        for part in parts:
            assert part.line == 1 + data[:at].count(b"\n")
            assert (part.sha, part.size) == (sha_of(part.data), len(part.data))
            at += part.size
            assert at in ends, f"{bytes(part.data)!r} does not end with a row (size {size})"


def test_random_files_are_cut_between_rows():
    rng = random.Random(5)
    for _ in range(300):
        data = bytes(rng.choice(b'ab,"\n\r') for _ in range(rng.randrange(400)))
        ends = set(itertools.accumulate(len(row) for row in reference_rows(data, '"')))
        parts = list(_blobs.slices(io.BytesIO(data), slice_bytes=rng.randrange(1, 60)))
        assert b"".join(part.data for part in parts) == data
        assert set(itertools.accumulate(part.size for part in parts)) <= ends


def test_slices_are_about_as_large_as_asked_for():
    data = b"0123456789abcde\n" * 100_000
    parts = list(_blobs.slices(io.BytesIO(data), slice_bytes=10_000))
    assert {part.size for part in parts[:-1]} == {10_000}


def test_files_gzip_and_objects_give_the_same(tmp_path):
    data = b"".join(b"%d,x\n" % i for i in range(50_000))
    (tmp_path / "plain.csv").write_bytes(data)
    (tmp_path / "packed.csv.gz").write_bytes(gzip.compress(data))
    (tmp_path / "two.gz").write_bytes(gzip.compress(data[:1000]) + gzip.compress(data[1000:]))
    expected = list(_blobs.slices(io.BytesIO(data), slice_bytes=65536))
    for name in ("plain.csv", "packed.csv.gz", "two.gz"):
        assert list(_blobs.slices(tmp_path / name, slice_bytes=65536)) == expected

    class Dribble:
        def __init__(self):
            self.file = io.BytesIO(data)

        def read(self, n):
            return self.file.read(min(n, 7))

    assert list(_blobs.slices(Dribble(), slice_bytes=65536)) == expected


def test_it_reads_no_further_than_it_must():
    read = 0

    class Endless:
        def read(self, n):
            nonlocal read
            read += n
            return b"x" * (n - 1) + b"\n"

    parts = _blobs.slices(Endless(), slice_bytes=1000)
    for _ in range(5):
        next(parts)
    assert read <= 6000


def test_a_quote_that_does_not_end_is_named(monkeypatch):
    monkeypatch.setattr(_blobs, "ROW_BYTES_MAX", 10_000)
    data = b"ok\nok\n" + b'"open\n' * 1 + b"x\n" * 20_000
    with pytest.raises(InvalidArgument, match="line 3 has more than 10000 bytes"):
        list(_blobs.slices(io.BytesIO(data), slice_bytes=8))


@pytest.mark.parametrize(("source", "options", "what"), [
    (io.StringIO("a\n"), {}, "binary mode"),
    (io.BytesIO(b""), {"quote": "ab"}, "one ASCII"),
    (io.BytesIO(b""), {"quote": "\u00e9"}, "one ASCII"),
    (io.BytesIO(b""), {"slice_bytes": 0}, "slice_bytes 0"),
])
def test_bad_arguments_are_named(source, options, what):
    with pytest.raises(InvalidArgument, match=what):
        list(_blobs.slices(source, **options))


# ---- uploads ----

class Coordinator:
    """What the verbs of blobs do; ``wrong`` decides what becomes of a request."""

    def __init__(self, wrong=lambda request, n: None):
        self.parts, self.whole, self.verbs, self.most, self.n = {}, {}, [], 0, 0
        self.wrong = wrong

    def answer(self, request):
        self.n += 1
        self.verbs.append(request.verb)
        refused = self.wrong(request, self.n)
        if refused is not None:
            return refused
        args = request.args
        if request.verb == "blob.have":
            return {"missing": [sha for sha in args["shas"] if sha not in self.whole]}
        if request.verb != "blob.put":
            return {"job": 1, "chunks": 0, "sealed": False, "warnings": []}
        sha, at, data = args["sha"], args["offset"], args["data"]
        if sha in self.whole:
            return {"bytes": len(self.whole[sha]), "whole": True}
        part = self.parts.setdefault(sha, bytearray())
        if at <= len(part) <= at + len(data):
            part[at:] = data
        if len(part) == args["total"]:
            assert sha_of(bytes(part)) == sha
            self.whole[sha] = bytes(part)
        return {"bytes": len(part), "whole": sha in self.whole}

    def run(self, operation, queue_timeout=10.0):
        todo, sleeps = steps(operation, queue_timeout), []
        try:
            step = next(todo)
            while True:
                if isinstance(step, float):
                    sleeps.append(step)
                    step = next(todo)
                    continue
                self.most = max(self.most, len(step))
                step = todo.send([self.answer(request) for request in step])
        except StopIteration as end:
            return end.value, sleeps


def test_only_what_is_missing_is_sent_with_several_chunks_in_flight():
    c = Coordinator()
    blobs = [_blobs.blob_of(random.Random(i).randbytes(size))
             for i, size in enumerate([0, 1, 1 << 20, (5 << 20) + 7, 20 << 20])]
    c.whole[blobs[1].sha] = blobs[1].read(0, 1)
    assert c.run(_blobs.upload([*blobs, *blobs])) == (4, [])
    assert {blob.sha for blob in blobs} == set(c.whole)
    assert c.most == _blobs.IN_FLIGHT
    assert c.verbs.count("blob.put") <= 1 + 1 + 6 + 20 + 1
    c.verbs.clear()
    assert c.run(_blobs.upload(blobs)) == (0, [])
    assert c.verbs == ["blob.have"]


def test_what_is_there_from_another_time_is_not_sent_again():
    c = Coordinator()
    data = random.Random(2).randbytes(40 << 20)
    c.parts[sha_of(data)] = bytearray(data[:38 << 20])
    c.run(_blobs.upload([_blobs.blob_of(data)]))
    assert c.verbs.count("blob.put") == 3


def test_a_coordinator_that_forgets_gets_it_again():
    def wrong(request, n):
        if n == 6:
            c.parts.clear()
        return None

    c = Coordinator(wrong)
    data = random.Random(3).randbytes(12 << 20)
    c.run(_blobs.upload([_blobs.blob_of(data)]))
    assert list(c.whole) == [sha_of(data)]


def test_refused_chunks_are_sent_again_and_in_time_it_gives_up():
    c = Coordinator(lambda request, n: QueueFull("full", 0.5) if n in (3, 4, 5) else None)
    data = random.Random(4).randbytes(4 << 20)
    _, sleeps = c.run(_blobs.upload([_blobs.blob_of(data)]))
    assert list(c.whole) == [sha_of(data)]
    assert sleeps and set(sleeps) == {0.5}
    full = Coordinator(lambda request, n: QueueFull("full", 1.0) if request.verb == "blob.put" else None)
    with pytest.raises(QueueFull):
        full.run(_blobs.upload([_blobs.blob_of(data)]), queue_timeout=3.0)
    assert full.n <= 1 + 4 * 4


def test_no_progress_is_an_error():
    c = Coordinator(lambda request, n: {"bytes": 0, "whole": False} if request.verb == "blob.put" else None)
    with pytest.raises(errors.DroverError, match="do not get on"):
        c.run(_blobs.upload([_blobs.blob_of(b"x" * 10)]))


def test_submit_sends_blobs_before_what_names_them():
    c = Coordinator()
    model = _blobs.blob_of(b"model")
    data = b"".join(b"%d\n" % i for i in range(3_000_000))
    items = _blobs.slices(io.BytesIO(data))
    c.run(submit(Submission("{}", "key", items, [model])))
    assert c.verbs[:3] == ["blob.have", "blob.put", "job.submit"]
    assert c.verbs[-2:] == ["job.input", "job.seal"]
    assert "blob.put" in c.verbs[3:-2]
    assert b"".join(c.whole[part.sha] for part in _blobs.slices(io.BytesIO(data))) == data


def test_slices_in_one_message_are_bounded_by_their_bytes():
    data = b"x" * 99 + b"\n"
    parts = _blobs.slices(io.BytesIO(data * 1_000_000), slice_bytes=4 << 20)
    assert [sum(part.size for part in chunk) <= 16 << 20 for chunk in chunks(parts)] == [True] * 6


def test_a_saved_job_has_its_files_in_a_folder(tmp_path):
    job = drover.noop(_blobs.slices(io.BytesIO(b"a\nb\n"), slice_bytes=2), slices=True)
    with pytest.raises(InvalidArgument, match="blobs="):
        job.save(str(tmp_path / "job.json"))
    job = drover.noop(_blobs.slices(io.BytesIO(b"a\nb\n"), slice_bytes=2), slices=True)
    job.save(str(tmp_path / "job.json"), blobs=str(tmp_path / "blobs"))
    saved = json.loads((tmp_path / "job.json").read_text())
    names = [json.loads(item)["blob"] for item in saved["input"]["urls"]]
    assert [(tmp_path / "blobs" / name).read_bytes() for name in names] == [b"a\n", b"b\n"]


def test_a_file_is_read_again_when_it_is_sent(tmp_path):
    path = tmp_path / "model"
    path.write_bytes(b"a" * 3_000_000)
    blob = _blobs.blob_of(path)
    assert (blob.sha, blob.size) == (sha_of(b"a" * 3_000_000), 3_000_000)
    assert blob.read(2_999_999, 10) == b"a"
    with pytest.raises(FileNotFoundError):
        _blobs.blob_of(tmp_path / "missing")
