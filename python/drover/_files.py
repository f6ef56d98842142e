"""Files as the input of a transform: local ones become slices, those of workers stay paths."""

from __future__ import annotations

import csv
import glob
import io
import os
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

from ._blobs import SLICE_BYTES, Blob, Slice, blob_of, slices, slice_of
from .errors import InvalidArgument

HEADER_BYTES_MAX = 1 << 20
"""Bytes of the row that names the columns."""

HEAD_BYTES = 1 << 20
"""Bytes of a file that a preview reads, about."""

WORKER = "file://"
"""What a path begins with that workers read."""

FORMATS = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson",
           ".json": "ndjson", ".pcap": "pcap", ".pcapng": "pcap", ".cap": "pcap"}
"""What the end of a name says."""


@dataclass(frozen=True)
class Dialect:
    """How a file is read. ``format``: csv, ndjson or pcap."""

    format: str
    delimiter: str
    quote: str
    header: bool


def _ends(name: str) -> str:
    """The end of a name without what says that it is compressed."""
    root, end = os.path.splitext(name.lower())
    return os.path.splitext(root)[1] if end in (".gz", ".zst") else end


def format_of(sources: Sequence[Any]) -> str:
    """By the name of the first file; csv when it says nothing."""
    first = sources[0] if sources else ""
    name = first if isinstance(first, str) else getattr(first, "name", "")
    return FORMATS.get(_ends(str(name)), "csv")


def delimiter_of(sources: Sequence[Any]) -> str:
    """A tab for *.tsv, else a comma."""
    first = sources[0] if sources else ""
    return "\t" if isinstance(first, str) and _ends(first) == ".tsv" else ","


def expand(source: Any) -> List[Any]:
    """Names and patterns as a list of local files, of ``file://`` paths, and of objects with read()."""
    if source is None:
        return []
    if isinstance(source, (str, os.PathLike)) or hasattr(source, "read"):
        source = [source]
    elif type(source).__module__.partition(".")[0] == "pandas":
        raise InvalidArgument("a DataFrame is sent as io.BytesIO(frame.to_csv(index=False).encode())")
    found: List[Any] = []
    for one in source:
        name = os.fspath(one) if isinstance(one, os.PathLike) else one
        if not isinstance(name, str):
            if not hasattr(name, "read"):
                raise InvalidArgument(f"input {name!r} is no name of a file and has no read()")
            found.append(name)
        elif "://" in name:
            found.append(name)
        elif os.path.isdir(name):
            raise InvalidArgument(f"{name!r} is a folder: give its files, such as {os.path.join(name, '*.csv')!r}")
        elif os.path.exists(name):
            found.append(name)
        else:
            names = sorted(glob.glob(name))
            if not names:
                raise InvalidArgument(f"there is no file {name!r} on this machine; a path that workers "
                                      f"can read is written {WORKER}/...")
            found += names
    return found


def is_remote(source: Any) -> bool:
    """Whether workers read it themselves."""
    return isinstance(source, str) and "://" in source


def remote_item(url: str) -> str:
    """The item of a job: an absolute path (or pattern) for file://, a URL as it is."""
    if not url.startswith(WORKER):
        if url.startswith(("http://", "https://")):
            return url
        raise InvalidArgument(f"{url!r}: workers read file://, http:// and https://")
    path = url[len(WORKER):]
    if not path.startswith("/"):
        raise InvalidArgument(f"{url!r}: a path that workers read is absolute: file:///data/...")
    return path


def _header_end(data: bytes, quote: bytes) -> int:
    """Where the first row ends; 0: not in these bytes."""
    end = -1
    while True:
        end = data.find(b"\n", end + 1)
        if end < 0 or not quote or data.count(quote, 0, end) % 2 == 0:
            return end + 1


def _split_header(first: Slice, dialect: Dialect, name: str) -> Tuple[List[str], Slice]:
    """The names in the first row, and the slice without it."""
    data = bytes(first.data)
    end = _header_end(data, dialect.quote.encode()) or len(data)
    if end > HEADER_BYTES_MAX:
        raise InvalidArgument(f"{name}: the row of column names has more than {HEADER_BYTES_MAX} bytes")
    try:
        text = data[:end].decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        raise InvalidArgument(f"{name}: the column names are not UTF-8: {cause}") from None
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=dialect.delimiter,
                           quotechar=dialect.quote))
    if not rows or not rows[0]:
        raise InvalidArgument(f"{name}: the first row should name the columns, and is empty")
    return rows[0], slice_of(data[end:], first.line + data[:end].count(b"\n"))


def _label(source: Any) -> str:
    return source if isinstance(source, str) else str(getattr(source, "name", "the input"))


class Again:
    """An object with read() whose beginning was looked at: it gives that once more."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.name = getattr(file, "name", "the input")
        self.head: bytes = file.read(HEADER_BYTES_MAX)
        if not isinstance(self.head, bytes):
            raise InvalidArgument(f"{self.name} gives {type(self.head).__name__}: open it in binary mode, or "
                                  "use io.BytesIO")
        self._rest = self.head

    def read(self, count: int) -> bytes:
        """Up to count bytes."""
        if not self._rest:
            more: bytes = self._file.read(count)
            return more
        piece, self._rest = self._rest[:count], self._rest[count:]
        return piece


def again(source: Any) -> Any:
    """A source that header() does not use up."""
    return Again(source) if hasattr(source, "read") else source


def header(source: Any, dialect: Dialect) -> List[str]:
    """The column names of a local file."""
    name = _label(source)
    beginning = io.BytesIO(source.head) if isinstance(source, Again) else source
    for first in slices(beginning, quote=dialect.quote, slice_bytes=HEADER_BYTES_MAX):
        return _split_header(first, dialect, name)[0]
    raise InvalidArgument(f"{name} is empty: there are no column names")


@dataclass
class LocalFiles:
    """The slices of local files, read as they are sent; it can be iterated again, as far as the files can.

    ``names``: the columns that each file's header must name, in that order; None: there is no header.
    """

    sources: Sequence[Any]
    dialect: Dialect
    names: Optional[Sequence[str]]
    slice_bytes: int = SLICE_BYTES

    def __iter__(self) -> Iterator[Slice]:
        quote = self.dialect.quote if self.dialect.format == "csv" else None
        for source in self.sources:
            if self.dialect.format == "pcap":
                yield replace(whole_file(source), file=os.path.basename(_label(source)))
                continue
            for number, part in enumerate(slices(source, quote=quote, slice_bytes=self.slice_bytes)):
                if number == 0 and self.dialect.header and self.names is not None:
                    part = self._without_header(part, source)
                part = replace(part, file=os.path.basename(_label(source)))
                if part.size > 0:
                    yield part

    def head(self) -> Iterator[Slice]:
        """Smaller slices, of which a preview takes one."""
        return iter(replace(self, slice_bytes=min(HEAD_BYTES, self.slice_bytes)))

    def local_paths(self) -> List[str]:
        """The files by name. InvalidArgument when one has none."""
        for source in self.sources:
            if not isinstance(source, str):
                raise InvalidArgument(f"{_label(source)} is no file of this machine")
        return [os.path.abspath(source) for source in self.sources]

    def _without_header(self, part: Slice, source: Any) -> Slice:
        names, rest = _split_header(part, self.dialect, _label(source))
        if names != list(self.names or ()):
            raise InvalidArgument(f"{_label(source)} has the columns {names!r:.300}, the first file has "
                                  f"{list(self.names or ())!r:.300}")
        return rest


def whole_file(source: Any) -> Slice:
    """A file as one slice."""
    if hasattr(source, "read"):
        return slice_of(source.read(), 1)
    with open(source, "rb") as file:
        return slice_of(file.read(), 1)


def head_of(items: Iterable[Any]) -> List[Any]:
    """The beginning of an input: about HEAD_BYTES of the first local file, else the first item."""
    return list(islice(items.head() if isinstance(items, LocalFiles) else iter(items), 1))


def _table_header(file: Any, csv_options: Dict[str, Any]) -> List[str]:
    source = io.BytesIO(file) if isinstance(file, (bytes, bytearray, memoryview)) else os.fspath(file)
    return header(source, Dialect("csv", csv_options.get("delimiter", ","), csv_options.get("quote", '"'), True))


def tables_of(tables: Dict[str, Any], default: Dialect) -> Tuple[Dict[str, Any], List[Blob]]:
    """Lookup tables as a stage names them, and the blobs that they are: a local file (or bytes) each, or
    a mapping with "file" and options (``columns``, ``delimiter``, ``quote``). Without ``columns`` all of
    the table's columns are text."""
    stage: Dict[str, Any] = {}
    blobs: List[Blob] = []
    for name, given in tables.items():
        options = dict(given) if isinstance(given, dict) else {"file": given}
        if "file" not in options:
            raise InvalidArgument(f"tables[{name!r}]: where is it? a path, bytes, or a mapping with \"file\"")
        file = options.pop("file")
        blob = blob_of(file)
        csv_options = {key: options.pop(key) for key in ("delimiter", "quote", "header", "names")
                       if key in options}
        if "columns" not in options:
            names = csv_options.get("names") or _table_header(file, csv_options)
            options["columns"] = {column: "text" for column in names}
        stage[name] = {"blob": blob.sha, **options}
        if csv_options:
            stage[name]["csv"] = csv_options
        blobs.append(blob)
    return stage, blobs
