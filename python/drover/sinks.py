"""Where a job's rows go: what submit() takes as ``sink``, and what a job says of itself.

The administrator of the coordinator gives sinks their names ([sink.NAME]); a job names one of them and a
table, prefix or directory in it. It never names an address.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

from .errors import InvalidArgument

__all__ = ["File", "Postgres", "Redis", "Sink", "Store"]

Json = Dict[str, Any]
Key = Union[str, Sequence[str], None]


def _given(**options: Any) -> Json:
    return {name: value for name, value in options.items() if value is not None}


def _key(key: Key) -> Optional[List[str]]:
    return key if key is None else [key] if isinstance(key, str) else list(key)


@dataclass(frozen=True)
class Store:
    """The coordinator's own store, from which job.results() reads without any other server."""

    @property
    def name(self) -> str:
        """Always "store"."""
        return "store"

    def to_json(self) -> Json:
        """As the job description has it."""
        return {"kind": "store"}


@dataclass(frozen=True)
class Postgres:
    """A table in PostgreSQL.

    ``mode``: "append"; "upsert", where a row replaces the one with the same ``key`` columns; or "merge",
    where ``merge`` says how each other column comes together with the row that is there: "sum", "count",
    "min" or "max". ``bad_rows``: "reject" (rows that do not fit are job.rejects()) or "fail" (their task
    fails).
    """

    table: str
    name: str = "postgres"
    mode: str = "append"
    key: Key = None
    merge: Optional[Mapping[str, str]] = None
    bad_rows: Optional[str] = None

    def to_json(self) -> Json:
        """As the job description has it."""
        return _given(kind="postgres", name=self.name, table=self.table, mode=self.mode,
                      key=_key(self.key), merge=None if self.merge is None else dict(self.merge),
                      bad_rows=self.bad_rows)


@dataclass(frozen=True)
class Redis:
    """Keys in Redis that begin with ``prefix``.

    ``mode``: "hash", one hash a row, named by the ``key`` column; "stream"; or "list", of JSON texts.
    ``ttl``: seconds after which the keys go.
    """

    prefix: str = "drover"
    name: str = "redis"
    mode: str = "hash"
    key: Key = None
    ttl: Optional[float] = None
    bad_rows: Optional[str] = None

    def to_json(self) -> Json:
        """As the job description has it."""
        return _given(kind="redis", name=self.name, prefix=self.prefix, mode=self.mode,
                      key=_key(self.key), ttl_s=self.ttl, bad_rows=self.bad_rows)


@dataclass(frozen=True)
class File:
    """Files on the workers, one a task, in a ``directory`` under the sink's root (without it, one that is
    named by the job). ``mode``: "ndjson" or "csv"."""

    directory: Optional[str] = None
    name: str = "file"
    mode: str = "ndjson"

    def to_json(self) -> Json:
        """As the job description has it."""
        return _given(kind="file", name=self.name, directory=self.directory, mode=self.mode)


Sink = Union[Store, Postgres, Redis, File]
SinkArgument = Union[str, Mapping[str, Any], Sink, Sequence[Union[Mapping[str, Any], Sink]]]
"""What submit() takes: a name, one sink, or several."""

_PLACES = {"table": "postgres", "prefix": "redis", "directory": "file"}
_KINDS = ("store", "postgres", "redis", "file")


def _named(sink: str, options: Json) -> Json:
    """``sink="main", table="pages"``: the kind comes from the name or from what else was given."""
    kinds = {_PLACES[place] for place in _PLACES if place in options}
    if len(kinds) > 1:
        raise InvalidArgument("only one of table, prefix and directory can be given for a sink")
    kind: Optional[str] = sink
    if sink not in _KINDS:
        kind = next(iter(kinds), None)
    if kind is None:
        near = difflib.get_close_matches(sink, _KINDS, 1)
        hint = f' Or did you mean "{near[0]}"?' if near else ""
        raise InvalidArgument(
            f'what is the sink "{sink}"? Say where in it: table= (PostgreSQL), prefix= (Redis) or '
            f'directory= (files).{hint}')
    if kinds and kinds != {kind} and kind != "store":
        raise InvalidArgument(f"a sink of {kind} has no {next(p for p in _PLACES if p in options)}")
    if kind == "store" and options:
        raise InvalidArgument(f'{next(iter(options))}= says nothing about the sink "store": name another '
                              f'sink, such as sink="postgres"')
    return {"kind": kind, **({} if sink == kind else {"name": sink}), **options}


def sinks_json(sink: SinkArgument, **options: Any) -> List[Json]:
    """The ``sinks`` of a job description. ``options``: table, prefix, directory, mode, key, merge."""
    options = _given(**options)
    if "key" in options:
        options["key"] = _key(options["key"])
    if isinstance(sink, str):
        return [_named(sink, options)]
    if options:
        raise InvalidArgument(f"{next(iter(options))}= goes with a sink's name; put it into the sink itself")
    many = sink if isinstance(sink, Sequence) else [sink]
    result: List[Json] = []
    for one in many:
        if isinstance(one, Mapping):
            result.append(dict(one))
        elif isinstance(one, (Store, Postgres, Redis, File)):
            result.append(one.to_json())
        else:
            raise InvalidArgument(f"a sink is a name, a mapping, or Postgres(), Redis(), File(), Store(), "
                                  f"not {type(one).__name__}")
    return result


def sink_from(value: Mapping[str, Any]) -> Sink:
    """A sink from the job map of the protocol."""
    kind, name, mode = value.get("kind"), str(value.get("name")), str(value.get("mode"))
    keys: Key = list(value.get("key") or []) or None
    if kind == "postgres":
        return Postgres(str(value.get("table")), name, mode, keys)
    if kind == "redis":
        return Redis(str(value.get("prefix")), name, mode, keys)
    if kind == "file":
        return File(value.get("directory"), name, mode)
    return Store()
