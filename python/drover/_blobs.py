"""Blobs: bytes that travel to workers under the name of their SHA-256, and files cut into slices that
are blobs. Operations without I/O on the network; local files are read here."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Callable, Dict, Iterable, Iterator, List, Optional, Protocol, Union

from ._protocol import Operation, Request
from .errors import DroverError, InvalidArgument

CHUNK_BYTES = 1 << 20
"""Bytes of a blob in one message."""

IN_FLIGHT = 8
"""Chunks that are sent before the first is answered."""

PUT_WAIT_S = 30.0
"""How long a chunk may take on a slow line before it is sent again."""

STUCK_ROUNDS = 20
"""An upload that does not get on in so many rounds is given up."""

HAVE_MAX = 1000
"""Names in one question for what is missing."""

BLOB_BYTES_MAX = 2 << 30
"""Bytes of one blob."""

SLICE_BYTES = 4 << 20
"""Bytes of a slice, about."""

ROW_BYTES_MAX = 64 << 20
"""A row that is longer is taken for a quote that does not end."""

FILE_NAME_MAX = 60
"""Characters of the name of a slice's file that rejects show."""

Source = Union[bytes, str, "os.PathLike[str]"]
"""What becomes a blob: the bytes themselves, or the path of a file."""


class Blob(Protocol):
    """Bytes with their name, which can be read again."""

    @property
    def sha(self) -> str:
        """The SHA-256 in lower-case hex."""

    @property
    def size(self) -> int:
        """How many there are."""

    def read(self, offset: int, count: int) -> Union[bytes, memoryview]:
        """Up to count of them."""


@dataclass(frozen=True)
class DataBlob:
    """Bytes in memory."""

    data: bytes = field(repr=False)
    sha: str

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, offset: int, count: int) -> bytes:
        return self.data[offset:offset + count]


@dataclass(frozen=True)
class FileBlob:
    """A file. When it changes between hashing and sending, the coordinator refuses it."""

    path: str
    sha: str
    size: int

    def read(self, offset: int, count: int) -> bytes:
        with open(self.path, "rb") as file:
            file.seek(offset)
            return file.read(count)


@dataclass(frozen=True)
class Slice:
    """A run of whole rows of a file, as an item of a job: ``sha`` and ``size`` of the blob, and the
    number of the line that it begins with."""

    sha: str
    size: int
    line: int
    data: Union[bytes, memoryview] = field(default=b"", repr=False, compare=False)
    file: str = ""

    def read(self, offset: int, count: int) -> Union[bytes, memoryview]:
        return self.data[offset:offset + count]

    def item(self) -> str:
        """The item's text: what stages take, and what rejects name."""
        item: Dict[str, Any] = {"blob": self.sha, "bytes": self.size, "line": self.line}
        if self.file:
            item["file"] = self.file[-FILE_NAME_MAX:]
        return json.dumps(item, ensure_ascii=False)


def blob_of(source: Source) -> Blob:
    """A blob of bytes or of a file, which is hashed here and read again when it is sent."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
        blob: Blob = DataBlob(data, hashlib.sha256(data).hexdigest())
    elif not isinstance(source, (str, os.PathLike)):
        raise InvalidArgument(f"a path or bytes are wanted, not {type(source).__name__}")
    else:
        path = os.fspath(source)
        name, size = hashlib.sha256(), 0
        with open(path, "rb") as file:
            for piece in iter(lambda: file.read(CHUNK_BYTES), b""):
                name.update(piece)
                size += len(piece)
        blob = FileBlob(path, name.hexdigest(), size)
    if blob.size > BLOB_BYTES_MAX:
        raise InvalidArgument(f"{source!r:.200} has {blob.size} bytes; the limit of a blob is "
                              f"{BLOB_BYTES_MAX}")
    return blob


def reference(blob: Blob) -> Dict[str, str]:
    """How a stage names a blob."""
    return {"blob": blob.sha}


def keep(blob: Blob, folder: Optional[str]) -> None:
    """Writes it into a folder, under its name."""
    if folder is None:
        raise InvalidArgument("this job needs files: say with blobs= into which folder they are put")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, blob.sha), "wb") as file:
        for at in range(0, blob.size, CHUNK_BYTES):
            file.write(blob.read(at, CHUNK_BYTES))


# ---- sending ----

def missing(shas: Iterable[str]) -> Operation[List[str]]:
    """Those that the coordinator does not have, each once."""
    names = list(dict.fromkeys(shas))
    absent: List[str] = []
    for at in range(0, len(names), HAVE_MAX):
        value = yield Request("blob.have", {"shas": names[at:at + HAVE_MAX]})
        absent += value["missing"]
    return absent


def _round(blobs: Iterable[Blob], there: Dict[str, int]) -> List[Request]:
    """The next chunks, of one blob after the other. A large blob begins with one: what the answer says
    is there, perhaps from another time, need not be sent."""
    requests: List[Request] = []
    for blob in blobs:
        at = there.get(blob.sha, 0)
        limit = IN_FLIGHT if blob.sha in there or blob.size <= IN_FLIGHT * CHUNK_BYTES else 1
        for _ in range(limit):
            if len(requests) == IN_FLIGHT:
                return requests
            requests.append(Request("blob.put", {
                "sha": blob.sha, "offset": at, "total": blob.size,
                "data": blob.read(at, CHUNK_BYTES)}, PUT_WAIT_S))
            at += CHUNK_BYTES
            if at >= blob.size:
                break
    return requests


def upload(blobs: Iterable[Blob]) -> Operation[int]:
    """Sends what the coordinator does not have yet; returns how many blobs that were."""
    by_name = {blob.sha: blob for blob in blobs}
    if not by_name:
        return 0
    absent = yield from missing(by_name)
    todo = {sha: by_name[sha] for sha in absent}
    there: Dict[str, int] = {}
    stuck = 0
    while todo:
        requests = _round(todo.values(), there)
        before = dict(there)
        answers = yield requests
        for request, answer in zip(requests, answers):
            sha = str(request.args["sha"])
            there[sha] = int(answer["bytes"])
            if answer["whole"]:
                todo.pop(sha, None)
        stuck = stuck + 1 if there == before else 0
        if stuck == STUCK_ROUNDS:
            raise DroverError(f"uploads do not get on: {len(todo)} blobs are not complete")
    return len(absent)


# ---- cutting ----

Filler = Callable[[memoryview], int]


_FOREIGN = {
    b"PK\x03\x04": "a zip archive (or a workbook): unpack it (or save it as CSV)",
    b"\xfd7zX": "an xz file: gzip and plain text are read",
    b"BZh": "a bzip2 file: gzip and plain text are read",
    b"\x28\xb5\x2f\xfd": "a zstd file, which workers read (file:///...); from here gzip and plain text are sent",
    b"PAR1": "a Parquet file: save it as CSV or NDJSON",
    b"\xff\xfe": "text in UTF-16: save it in UTF-8",
    b"\xfe\xff": "text in UTF-16: save it in UTF-8",
}
"""How files begin that are not read as rows."""


def _is_gzip(file: BinaryIO) -> bool:
    head = file.read(4)
    file.seek(0)
    for magic, what in _FOREIGN.items():
        if head.startswith(magic):
            raise InvalidArgument(f"{getattr(file, 'name', 'the input')} is {what}")
    return head.startswith(b"\x1f\x8b")


def _read_into(source: Any) -> Filler:
    """For objects that can only read(n)."""
    def fill(room: memoryview) -> int:
        piece = source.read(len(room))
        if not isinstance(piece, bytes):
            raise InvalidArgument(f"the file gives {type(piece).__name__}: open it in binary mode")
        room[:len(piece)] = piece
        return len(piece)

    return fill


def _filler(source: Any, stack: ExitStack) -> Filler:
    """Something that fills room with the next bytes of a path (.gz is decompressed) or a file-like
    object, and says how many those were."""
    if hasattr(source, "read"):
        into: Filler = getattr(source, "readinto", None) or _read_into(source)
        return into
    file = stack.enter_context(open(os.fspath(source), "rb"))
    if _is_gzip(file):
        unpacked = stack.enter_context(gzip.GzipFile(fileobj=file, mode="rb"))
        return _read_into(unpacked)
    return file.readinto


def _fill(into: Filler, data: bytearray, at: int) -> int:
    """Fills data from there on; where it ends, which is before its length at the end of the file."""
    with memoryview(data) as room:
        while at < len(data):
            count = into(room[at:])
            if not count:
                break
            at += count
    return at


def _rows_end(data: bytearray, length: int, quote: bytes) -> int:
    """Where the last whole row ends; 0: there is none. A newline counts where the quotes before it are
    even. Quotes are counted, not parsed: the rule of PostgreSQL's COPY, and of the engine."""
    end = data.rfind(b"\n", 0, length)
    if not quote:
        return end + 1
    quotes = data.count(quote, 0, end + 1)
    while end >= 0 and quotes % 2:
        # Between that quote and the newline all newlines are inside quotes.
        inside = data.rfind(quote, 0, end)
        end = data.rfind(b"\n", 0, inside)
        quotes -= data.count(quote, end + 1, inside + 1)
    return end + 1


def slice_of(data: Union[bytes, memoryview], line: int, file: str = "") -> Slice:
    """A slice of bytes that are here; line: the number of the first one in its file."""
    return Slice(hashlib.sha256(data).hexdigest(), len(data), line, data, file)


def slices(source: Any, *, quote: Optional[str] = '"',
           slice_bytes: int = SLICE_BYTES) -> Iterator[Slice]:
    """Cuts a file of rows into slices of whole rows, reading it once, with a few slices in memory.

    ``source``: a path (gzip is recognised and decompressed) or an object with ``read(n)`` that gives
    bytes. ``quote``: the character inside which a newline ends no row; None where there is none, as in
    NDJSON. The header, if the file has one, is in the first slice alone.
    """
    if quote is not None and (len(quote) != 1 or ord(quote) > 127):
        raise InvalidArgument(f"quote {quote!r} is not one ASCII character")
    if slice_bytes < 1 or slice_bytes > ROW_BYTES_MAX:
        raise InvalidArgument(f"slice_bytes {slice_bytes} is not between 1 and {ROW_BYTES_MAX}")
    mark = quote.encode() if quote else b""
    with ExitStack() as stack:
        into = _filler(source, stack)
        rest, line = b"", 1
        while True:
            # A buffer of its own for each slice, which goes out from there without another copy.
            data = bytearray(max(slice_bytes, len(rest)))
            data[:len(rest)] = rest
            length = _fill(into, data, len(rest))
            at_end = length < len(data)
            cut = length if at_end else _rows_end(data, length, mark)
            while cut == 0 and not at_end:
                if length > ROW_BYTES_MAX:
                    raise InvalidArgument(f"the row at line {line} has more than {ROW_BYTES_MAX} "
                                          f"bytes: does a quote not end?")
                data.extend(bytes(length))
                length = _fill(into, data, length)
                at_end = length < len(data)
                cut = length if at_end else _rows_end(data, length, mark)
            if cut:
                yield slice_of(memoryview(data)[:cut], line)
                line += data.count(b"\n", 0, cut)
            if at_end:
                return
            rest = bytes(data[cut:length])
