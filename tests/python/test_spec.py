"""Job descriptions as scrape() and submit() build them."""

import json

import pytest

import drover
from drover import _operations as ops
from drover import _places as places
from drover import File, Postgres, Redis, Store, scrape
from drover.sinks import sink_from, sinks_json


def prepared(job, **options):
    place = {key: options.pop(key) for key in list(options) if key in ("table", "prefix", "directory", "mode", "key",
                                                                       "merge")}
    known = dict(sink="store", place=place, name=None, priority=None, retry=None, idempotency_key=None,
                 result_ttl=None, run_timeout=None, task_items=None)
    return ops.prepare(job, **{**known, **options})


def test_scrape_leaves_defaults_to_the_coordinator():
    assert scrape("http://h/", {"t": "title::text"}).stages == [
        {"kind": "scrape", "extract": {"t": "title::text"}}]


def test_scrape_options():
    stage = scrape([], {"t": "h1"}, follow="a.next", per_host=2, delay=0.5, timeout=9, robots=False,
                   types=["text/html"]).stages[0]
    assert stage == {"kind": "scrape", "extract": {"t": "h1"}, "follow": {"css": ["a.next"]},
                     "per_host": {"concurrency": 2, "delay_s": 0.5}, "timeout_s": 9, "robots": False,
                     "types": ["text/html"]}


@pytest.mark.parametrize("follow, expected", [(True, {}), ({"depth": 2}, {"depth": 2})])
def test_follow(follow, expected):
    assert scrape([], follow=follow).stages[0]["follow"] == expected


@pytest.mark.parametrize("follow", [None, False])
def test_no_follow(follow):
    assert "follow" not in scrape([], follow=follow).stages[0]


def test_pipe_joins_stages_and_keeps_the_input():
    both = scrape(["http://h/"]) | drover.noop()
    assert [stage["kind"] for stage in both.stages] == ["scrape", "noop"]
    assert list(both.items) == ["http://h/"]


def test_description():
    submission = prepared(scrape([]), name="n", retry=drover.Retry(2), sink="postgres", table="pages")
    spec = json.loads(submission.spec)
    assert spec["retry"] == {"attempts": 2, "backoff_s": 1.0, "backoff_max_s": 60.0, "budget_percent": 10}
    assert spec["sinks"] == [{"kind": "postgres", "table": "pages"}]
    assert "input" not in spec and "priority" not in spec


@pytest.mark.parametrize("sink, place, expected", [
    ("store", {}, [{"kind": "store"}]),
    ("redis", {}, [{"kind": "redis"}]),
    ("postgres", {"table": "t"}, [{"kind": "postgres", "table": "t"}]),
    ("main", {"table": "t", "mode": "upsert", "key": "id"},
     [{"kind": "postgres", "name": "main", "table": "t", "mode": "upsert", "key": ["id"]}]),
    ("cache", {"prefix": "p", "key": ["url"]}, [{"kind": "redis", "name": "cache", "prefix": "p", "key": ["url"]}]),
    ("disk", {"directory": "d"}, [{"kind": "file", "name": "disk", "directory": "d"}]),
    ({"kind": "postgres", "table": "t"}, {}, [{"kind": "postgres", "table": "t"}]),
    ([Store(), Postgres("totals", "main", mode="merge", key="day", merge={"n": "sum"}), {"kind": "redis"}], {},
     [{"kind": "store"}, {"kind": "postgres", "name": "main", "table": "totals", "mode": "merge", "key": ["day"],
                          "merge": {"n": "sum"}}, {"kind": "redis"}]),
    (Redis("p", mode="stream", ttl=60), {},
     [{"kind": "redis", "name": "redis", "prefix": "p", "mode": "stream", "ttl_s": 60}]),
    (File("d", mode="csv"), {}, [{"kind": "file", "name": "file", "directory": "d", "mode": "csv"}]),
])
def test_sinks(sink, place, expected):
    assert sinks_json(sink, **place) == expected


@pytest.mark.parametrize("sink, place, words", [
    ("main", {}, "table= .PostgreSQL., prefix= .Redis. or directory="),
    ("stoer", {}, 'did you mean "store"'),
    ("main", {"table": "t", "prefix": "p"}, "only one of"),
    ("redis", {"table": "t"}, "a sink of redis has no table"),
    ("store", {"table": "t"}, 'the sink "store"'),
    (Store(), {"table": "t"}, "into the sink itself"),
    ([7], {}, "not int"),
])
def test_sinks_that_make_no_sense(sink, place, words):
    with pytest.raises(drover.InvalidArgument, match=words):
        sinks_json(sink, **place)


def test_sinks_come_back_from_a_job_map():
    maps = [{"kind": "store", "name": None, "mode": "plain", "table": None, "prefix": None, "directory": None,
             "key": []},
            {"kind": "postgres", "name": "main", "mode": "upsert", "table": "t", "key": ["a", "b"]},
            {"kind": "redis", "name": "r", "mode": "hash", "prefix": "p", "key": ["url"]},
            {"kind": "file", "name": "f", "mode": "csv", "directory": None, "key": []}]
    assert [sink_from(one) for one in maps] == [
        Store(), Postgres("t", "main", "upsert", ["a", "b"]), Redis("p", "r", "hash", ["url"]), File(None, "f", "csv")]
    assert [sink_from(one).name for one in maps] == ["store", "main", "r", "f"]


def status_of(*sinks):
    return ops.status_from({"job": 7, "state": "done", "uid": "00", "sink": "somewhere", "sinks": [
        {"mode": None, "table": "t", "prefix": "p", **sink} for sink in sinks]})


def test_where_rows_are_read(monkeypatch):
    main, cache = {"kind": "postgres", "name": "main"}, {"kind": "redis", "name": "the-cache"}
    known = {"main": "postgresql://here"}
    assert places.choose(status_of(main, {"kind": "store"}), None, known) is None
    assert places.choose(status_of(main, {"kind": "store"}), "main", known).url == "postgresql://here"
    assert places.choose(status_of(cache, main), None, known).sink.name == "main"
    monkeypatch.setenv("DROVER_SINK_THE_CACHE_URL", "redis://there")
    assert places.choose(status_of(cache, main), None, known).url == "redis://there"
    with pytest.raises(drover.NotReadable, match="DROVER_SINK_MAIN_URL"):
        places.choose(status_of(main), None, {})
    with pytest.raises(drover.InvalidArgument, match='no sink "other"; it has: main'):
        places.choose(status_of(main), "other", known)


def test_each_submit_has_an_idempotency_key_of_its_own():
    assert prepared(scrape([])).idem != prepared(scrape([])).idem
    assert prepared(scrape([]), idempotency_key="mine").idem == "mine"


@pytest.mark.parametrize("extract", [{"a": float("nan")}, {"a": {1, 2}}, {"a": b"x"}])
def test_what_is_no_json_is_refused_here(extract):
    with pytest.raises(drover.InvalidArgument, match="not JSON"):
        prepared(scrape([], extract))


def test_submit_of_something_else():
    with pytest.raises(drover.InvalidArgument, match="not list"):
        prepared(["http://h/"])


def test_saved_job_file(tmp_path):
    path = tmp_path / "job.json"
    scrape(["http://h/"], {"t": "h1"}).save(str(path), name="x")
    assert json.loads(path.read_text()) == {
        "drover": 1, "name": "x", "stages": [{"kind": "scrape", "extract": {"t": "h1"}}],
        "input": {"urls": ["http://h/"]}}
