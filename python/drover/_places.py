"""Reads a job's rows from where they are, when that is not the coordinator's store.

The coordinator tells which sink, table and job; where the server is and who may read it, the reader must
know himself: ``Client(sinks={"main": "postgresql://reader@db/warehouse"})`` or the environment variable
DROVER_SINK_MAIN_URL. The readers' libraries are imported only here, when they are needed.
"""

from __future__ import annotations

import csv
import json
import os
import pathlib
from dataclasses import dataclass
from typing import Any, Iterator, List, Mapping, Optional, Sequence, Tuple
from urllib.parse import unquote

from ._batch import Row
from ._operations import JobStatus
from .errors import InvalidArgument, NotReadable
from .sinks import File, Postgres, Redis, Sink, Store

PAGE_ROWS = 2000
"""Rows in one round trip to PostgreSQL."""

_OWN_COLUMNS = ("drover_job", "drover_task")
"""Filled in by the sink; they are no rows' columns."""


@dataclass(frozen=True)
class Place:
    """One sink of one job, and how to reach it."""

    sink: Sink
    url: str
    uid: str
    job: int


def variable(name: str) -> str:
    """The environment variable with the address of a sink."""
    return f"DROVER_SINK_{name.upper().replace('-', '_')}_URL"


def address(name: str, known: Mapping[str, str]) -> Optional[str]:
    """Where a sink is, as far as this program was told."""
    return known.get(name) or os.environ.get(variable(name))


def choose(status: JobStatus, name: Optional[str], known: Mapping[str, str]) -> Optional[Place]:
    """Where to read the rows: None is the store, through the coordinator.

    Without a name the store if the job has it, else the first sink that this program can reach.
    """
    sinks = [one for one in status.sinks if name is None or one.name == name]
    if not sinks and name is not None:
        names = ", ".join(one.name for one in status.sinks)
        raise InvalidArgument(f'job {status.id} has no sink "{name}"; it has: {names}')
    if not sinks or any(isinstance(one, Store) for one in sinks):
        return None
    for one in sinks:
        url = address(one.name, known)
        if url:
            return Place(one, url, status.uid, status.id)
    first = sinks[0]
    raise NotReadable(
        f"the rows of job {status.id} are in {status.sink}. Say where that is: "
        f'Client(sinks={{"{first.name}": "..."}}) or {variable(first.name)}')


def rows(place: Place) -> Iterator[Row]:
    """The rows of an ended job. Blocks; a thread of its own is the caller's business."""
    if isinstance(place.sink, Postgres):
        return _postgres_rows(place, place.sink)
    if isinstance(place.sink, Redis):
        return _redis_rows(place, place.sink)
    assert isinstance(place.sink, File)
    return _file_rows(place, place.sink)


# ---- PostgreSQL ----

def _postgres_connect(url: str) -> Any:
    try:
        import psycopg2
        return psycopg2.connect(url)
    except ImportError:
        pass
    try:
        import psycopg
        return psycopg.connect(url)
    except ImportError:
        raise ImportError("reading rows from PostgreSQL needs psycopg2 or psycopg: install "
                          "python3-psycopg2, or `pip install psycopg`") from None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _table_columns(cursor: Any, table: str) -> Tuple[str, List[str]]:
    """The table's name as SQL, and its columns. Names are as the worker takes them: each part as it is
    written, without folding."""
    quoted = ".".join(_quoted(part) for part in table.split("."))
    cursor.execute("SELECT a.attname FROM pg_catalog.pg_attribute a WHERE a.attrelid = to_regclass(%s) "
                   "AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum", (quoted,))
    columns = [str(row[0]) for row in cursor.fetchall()]
    if not columns:
        raise NotReadable(f'there is no table "{table}" that this connection may see')
    return quoted, columns


def _postgres_rows(place: Place, sink: Postgres) -> Iterator[Row]:
    connection = _postgres_connect(place.url)
    try:
        with connection.cursor() as cursor:
            quoted, columns = _table_columns(cursor, sink.table)
        names = [name for name in columns if name not in _OWN_COLUMNS]
        wanted = ", ".join(map(_quoted, names))
        if "drover_job" not in columns:
            raise NotReadable(
                f"table {sink.table} has no column drover_job, which the sink would fill in, so that the "
                f"rows of job {place.job} cannot be told from others. Read it by SQL: "
                f"SELECT {wanted} FROM {quoted}; or add the column before the next job: "
                f"ALTER TABLE {quoted} ADD COLUMN drover_job uuid")
        with connection.cursor(name="drover_rows") as cursor:
            cursor.execute(f"SELECT {wanted} FROM {quoted} WHERE drover_job = %s::uuid", (place.uid,))
            while True:
                page: Sequence[Sequence[Any]] = cursor.fetchmany(PAGE_ROWS)
                if not page:
                    return
                for values in page:
                    yield dict(zip(names, values))
    finally:
        connection.close()


# ---- Redis ----

def _redis_connect(url: str) -> Any:
    try:
        import redis
    except ImportError:
        raise ImportError("reading rows from Redis needs the package redis: install python3-redis, or "
                          "`pip install redis`") from None
    single = redis.Redis.from_url(url, decode_responses=True)
    if not single.info("cluster").get("cluster_enabled"):
        return single
    single.close()
    return redis.RedisCluster.from_url(url, decode_responses=True)


def _redis_rows(place: Place, sink: Redis) -> Iterator[Row]:
    """Keys as docs/SINKS_REDIS.md has them. What Redis keeps are texts: hashes and streams come back so."""
    head = f"{sink.prefix}:{{{place.uid}}}:"
    connection = _redis_connect(place.url)
    try:
        if sink.mode == "hash":
            yield from _redis_hashes(connection, head + "row:")
        elif sink.mode == "stream":
            yield from _redis_stream(connection, head + "rows")
        else:
            yield from _redis_list(connection, head + "rows")
    finally:
        connection.close()


def _redis_hashes(connection: Any, head: str) -> Iterator[Row]:
    """SCAN may tell of a key twice."""
    seen = set()
    page: List[str] = []

    def fetch() -> Iterator[Row]:
        pipeline = connection.pipeline(transaction=False)
        for key in page:
            pipeline.hgetall(key)
        yield from (row for row in pipeline.execute() if row)

    for key in connection.scan_iter(match=head + "*", count=PAGE_ROWS):
        if key in seen:
            continue
        seen.add(key)
        page.append(key)
        if len(page) == PAGE_ROWS:
            yield from fetch()
            page = []
    yield from fetch()


def _redis_stream(connection: Any, key: str) -> Iterator[Row]:
    after = "-"
    while True:
        page = connection.xrange(key, min=after, count=PAGE_ROWS)
        yield from (fields for _, fields in page)
        if len(page) < PAGE_ROWS:
            return
        after = "(" + page[-1][0]


def _redis_list(connection: Any, key: str) -> Iterator[Row]:
    at = 0
    while True:
        page = connection.lrange(key, at, at + PAGE_ROWS - 1)
        yield from (json.loads(one) for one in page)
        if len(page) < PAGE_ROWS:
            return
        at += PAGE_ROWS


# ---- files ----

def _root(url: str) -> pathlib.Path:
    if not url.startswith("file:///"):
        raise InvalidArgument(f"{url}: file:///path is wanted, a folder with the files of all workers")
    return pathlib.Path(unquote(url[len("file://"):]))


def _file_rows(place: Place, sink: File) -> Iterator[Row]:
    """The files that the workers' manifests list, each task once, in a folder that this machine sees
    (docs/SINKS_FILE.md). What is in CSV comes back as texts."""
    folder = _root(place.url) / (sink.directory or "") / place.uid
    manifests = sorted(folder.glob("manifest-*.ndjson"))
    if not manifests:
        raise NotReadable(f"there is no manifest in {folder}: bring the workers' files there, or mount them")
    seen = set()
    for manifest in manifests:
        with manifest.open(encoding="utf-8") as lines:
            for line in lines:
                entry = json.loads(line)
                if entry["task"] not in seen:
                    seen.add(entry["task"])
                    yield from _rows_of_file(folder / str(entry["file"]), sink.mode)


def _rows_of_file(path: pathlib.Path, mode: str) -> Iterator[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        if mode == "csv":
            yield from csv.DictReader(file)
        else:
            yield from (json.loads(line) for line in file)
