"""Describing jobs: stages that are joined by ``|``, and their input."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, Mapping, Optional, Sequence, Union

from ._blobs import Blob, Source, blob_of, reference

__all__ = ["Pipeline", "Retry", "noop", "scrape"]

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
        return Pipeline([*self.stages, *other.stages], self.items, [*self.blobs, *other.blobs])

    def to_json(self) -> Json:
        """The description without the input, as ``job.json`` has it."""
        return {"drover": 1, "stages": list(self.stages)}

    def save(self, path: str, **options: Any) -> None:
        """Writes a job file with its input, for ``drover-worker run`` and ``drover job submit``.

        ``options`` are further top-level keys, such as ``name`` or ``priority``."""
        job = {**self.to_json(), **options, "input": {"urls": list(self.items)}}
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


def noop(items: Iterable[Any] = (), *, rows: bool = False,
         blob: Optional[Source] = None, slices: bool = False) -> Pipeline:
    """Tasks that do nothing, to measure the queue. With ``rows`` each item comes back as a row; with a
    ``blob`` (bytes, or a path) besides its ``bytes`` and ``sha256`` as the worker has it, and with
    ``slices`` those of the slice that each item is."""
    one = None if blob is None else blob_of(blob)
    named = "item" if slices else one and reference(one)
    return Pipeline([_set({"kind": "noop"}, rows=rows or None, blob=named)], items,
                    [one] if one else [])
