"""Describing jobs: stages that are joined by ``|``, and their input."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Union

from . import _files as files
from ._blobs import Blob, Slice, Source, blob_of, keep, reference
from .errors import InvalidArgument

__all__ = ["Pipeline", "Retry", "noop", "score", "scrape", "transform"]

Json = Dict[str, Any]


@dataclass(frozen=True)
class Retry:
    """How often a failing input is tried: ``attempts`` in all, waiting a random time of up to
    ``backoff`` * 2**(n-1) seconds, at most ``backoff_max``, after the n-th. ``budget_percent``: retries
    of the whole job at most so many for each 100 first attempts, so that a recovery is no storm."""

    attempts: int = 4
    backoff: float = 1.0
    backoff_max: float = 60.0
    budget_percent: int = 10

    def to_json(self) -> Json:
        """As the job description has it."""
        return {"attempts": self.attempts, "backoff_s": self.backoff,
                "backoff_max_s": self.backoff_max, "budget_percent": self.budget_percent}


@dataclass(frozen=True)
class Pipeline:
    """One or more stages, the input of the first, and the blobs that stages name. Immutable: ``a | b``
    makes a new one."""

    stages: Sequence[Json]
    items: Iterable[Any] = field(default=(), compare=False)
    blobs: Sequence[Blob] = field(default=(), compare=False, repr=False)

    def __or__(self, other: "Pipeline") -> "Pipeline":
        if not isinstance(other, Pipeline):
            return NotImplemented
        return Pipeline([*self.stages, *other.stages], self.items, [*self.blobs, *other.blobs])

    def to_json(self) -> Json:
        """The description without the input, as ``job.json`` has it."""
        return {"drover": 1, "stages": list(self.stages)}

    def head(self) -> "Pipeline":
        """The same over the beginning of the input alone: see Client.head."""
        return Pipeline(self.stages, files.head_of(self.items), self.blobs)

    def save(self, path: str, blobs: Optional[str] = None, **options: Any) -> None:
        """Writes a job file with its input, for ``drover-worker run`` and ``drover job submit``. Local files
        of transform() are named in it by their paths, and read where the job runs.

        ``blobs``: the folder into which other files that the job needs (slices, lookup tables, models) are
        put under their names, for ``run --blobs``. ``options`` are further top-level keys, such as ``name``
        or ``priority``."""
        stages = [dict(stage) for stage in self.stages]
        items: List[Any] = []
        if isinstance(self.items, files.LocalFiles):
            items += self.items.local_paths()
            if self.items.names is not None and self.items.dialect.header:
                stages[0]["csv"] = {**stages[0].get("csv", {}), "header": True}
        else:
            for item in self.items:
                if isinstance(item, Slice):
                    keep(item, blobs)
                items.append(item.item() if isinstance(item, Slice) else item)
        for blob in self.blobs:
            keep(blob, blobs)
        job = {**self.to_json(), "stages": stages, **options, "input": {"urls": items}}
        with open(path, "w", encoding="utf-8") as file:
            json.dump(job, file, indent=1)


def _set(stage: Json, **options: Any) -> Json:
    stage.update({key: value for key, value in options.items() if value is not None})
    return stage


def scrape(
    urls: Union[str, Iterable[str]] = (),
    extract: Optional[Mapping[str, Any]] = None,
    *,
    rows: Optional[str] = None,
    follow: Union[bool, str, Mapping[str, Any], None] = None,
    robots: Optional[bool] = None,
    per_host: Optional[int] = None,
    delay: Optional[float] = None,
    headers: Optional[Mapping[str, str]] = None,
    user_agent: Optional[str] = None,
    timeout: Optional[float] = None,
    max_bytes: Optional[int] = None,
    **options: Any,
) -> Pipeline:
    """Fetches pages and extracts a row from each.

    ``urls``: one URL or an iterable of them, which is read lazily. ``extract``: field name to
    selector, see docs/SCRAPE.md (``{"title": "h1::text", "price": {"css": ".price", "type":
    "decimal"}}``). ``rows``: the list field of which each element becomes a row. ``follow``: True, a
    CSS selector of links, or a mapping (``css``, ``depth``, ``domains``, ``allow``, ``deny``,
    ``max_pages``, ``sitemap``) makes it a crawl. ``per_host``: concurrent requests to one host, over
    the whole fleet; ``delay``: seconds between requests to one host. ``timeout`` in seconds for a
    page; ``max_bytes`` of a page after decompression. Any further option goes into the stage as it
    is; the coordinator refuses what it does not know, with its path.
    """
    if isinstance(urls, str):
        urls = [urls]
    politeness = _set({}, concurrency=per_host, delay_s=delay)
    if follow is True:
        follow = {}
    elif follow is False:
        follow = None
    elif isinstance(follow, str):
        follow = {"css": [follow]}
    stage = _set(
        {"kind": "scrape"},
        extract=None if extract is None else dict(extract),
        rows=rows,
        follow=follow,
        robots=robots,
        per_host={**politeness, **options.pop("per_host_options", {})} or None,
        headers=headers,
        user_agent=user_agent,
        timeout_s=timeout,
        max_bytes=max_bytes,
        **options,
    )
    return Pipeline([stage], urls)


def transform(
    source: Any = None,
    sql: str = "",
    *,
    columns: Optional[Mapping[str, str]] = None,
    on_error: Optional[str] = None,
    format: Optional[str] = None,
    delimiter: Optional[str] = None,
    quote: str = '"',
    header: bool = True,
    names: Optional[Sequence[str]] = None,
    paths: Optional[Mapping[str, str]] = None,
    tables: Optional[Mapping[str, Any]] = None,
    **options: Any,
) -> Pipeline:
    """Runs a SELECT, with PostgreSQL's answers, over files or over the rows of the stage before.

    ``source``: a local file, a pattern (``"sales-*.csv"``), an object with read(), or several of them:
    they are sent to the fleet in slices of whole rows, as submit() reads them; gzip is recognised. What
    workers can read by themselves is written ``file:///data/sales-*.csv``. None: after ``|``. ``sql``:
    ``SELECT ... FROM input``, see docs/TRANSFORM.md. ``columns``: types by name, where the query's use of a
    column does not say it. ``on_error``: what becomes of a row with a value that is none of its type:
    "reject" (default; job.rejects() lists them), "null" (the value), "fail".

    ``format``: "csv", "ndjson" or "pcap"; by default the name of the file says. CSV: ``delimiter``,
    ``quote``, ``header`` (the first row of each file names the columns) or ``names``. NDJSON: ``paths``,
    such as ``{"price": "$.offer.price"}``, where a column is no key of the top level. ``tables``: lookup
    tables for JOIN by name: a local CSV file each, or ``{"file": ..., "columns": {...}}``. Any further
    option goes into the stage as it is. Raises InvalidArgument for files that are not there or do not
    fit together.
    """
    sources = files.expand(source)
    remote = [one for one in sources if files.is_remote(one)]
    if remote and len(remote) < len(sources):
        raise InvalidArgument(f"{remote[0]} is read by workers, other inputs from here: use two jobs")
    dialect = files.Dialect(format or files.format_of(sources), delimiter or files.delimiter_of(sources),
                            quote, header and names is None)
    if dialect.format not in ("csv", "ndjson", "pcap"):
        raise InvalidArgument('format is "csv", "ndjson" or "pcap"')
    items: Iterable[Any] = [files.remote_item(one) for one in remote]
    if sources and not remote:
        if dialect.format == "csv" and dialect.header:
            sources = [files.again(one) for one in sources]
            names = files.header(sources[0], dialect)
        items = files.LocalFiles(sources, dialect, names)
    for name in ("csv", "ndjson", "pcap"):
        if name in options and source is not None:
            raise InvalidArgument(f"{name}: say it with format, delimiter, quote, header, names or paths")
    csv_options: Json = {}
    if source is not None and dialect.format == "csv":
        _set(csv_options, delimiter=None if dialect.delimiter == "," else dialect.delimiter,
             quote=None if quote == '"' else quote, names=None if names is None else list(names))
    lookup, blobs = files.tables_of(dict(tables or {}), dialect)
    stage = _set({"kind": "transform", "sql": sql, **options}, columns=dict(columns) if columns else None,
                 on_error=on_error, csv=csv_options or None, tables=lookup or None,
                 ndjson={"columns": dict(paths)} if paths else {} if dialect.format == "ndjson" else None,
                 pcap={} if dialect.format == "pcap" else None)
    return Pipeline([stage], items, blobs)


def score(
    model: Source,
    *,
    inputs: Optional[Mapping[str, Union[str, Sequence[str]]]] = None,
    outputs: Optional[Sequence[str]] = None,
    keep: Optional[Sequence[str]] = None,
    sample: Optional[Source] = None,
    tolerance: Optional[float] = None,
    **options: Any,
) -> Pipeline:
    """Runs a model in ONNX's format over the rows of the stage before.

    ``model``: the path of the file, or its bytes; it is sent once, and checked when the job is submitted.
    ``inputs``: for each input of the model the column that it takes, or the columns of a matrix; without,
    an input takes the column of its name, and a model with one matrix all columns that are not kept, in
    their order. ``outputs``: the columns of the results that are wanted (``label``,
    ``probability_<class>``, or the graph's own names); all by default. ``keep``: columns of the stage
    before that pass through. ``sample``: rows with the outputs that Python gave (export_check()), by
    which workers prove the model, within ``tolerance`` (1e-5). See docs/SCORE.md.
    """
    for name, one in (("outputs", outputs), ("keep", keep)):
        if isinstance(one, str):
            raise InvalidArgument(f"{name}: a list of columns is wanted, not the text {one!r:.60}")
    if inputs is not None and not isinstance(inputs, Mapping):
        raise InvalidArgument("inputs: a mapping of the model's inputs to columns is wanted, not "
                              f"{type(inputs).__name__}")
    blob = blob_of(model)
    blobs = [blob]
    reference_: Json = dict(reference(blob))
    if sample is not None:
        blobs.append(blob_of(sample))
        reference_["sample"] = reference(blobs[-1])
    stage = _set({"kind": "score", "model": _set(reference_, tolerance=tolerance)},
                 inputs=dict(inputs) if inputs else None, outputs=list(outputs) if outputs else None,
                 keep=list(keep) if keep else None, **options)
    return Pipeline([stage], (), blobs)


def noop(items: Iterable[Any] = (), *, rows: bool = False,
         blob: Optional[Source] = None, slices: bool = False) -> Pipeline:
    """Tasks that do nothing, to measure the queue. With ``rows`` each item comes back as a row; with a
    ``blob`` (bytes, or a path) besides its ``bytes`` and ``sha256`` as the worker has it, and with
    ``slices`` those of the slice that each item is."""
    one = None if blob is None else blob_of(blob)
    named = "item" if slices else one and reference(one)
    return Pipeline([_set({"kind": "noop"}, rows=rows or None, blob=named)], items,
                    [one] if one else [])
