"""Job descriptions as scrape() and submit() build them."""

import json

import pytest

import drover
from drover import _operations as ops
from drover import scrape


def prepared(job, **options):
    known = dict(sink="store", table=None, name=None, priority=None, retry=None, idempotency_key=None,
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
    assert spec["retry"] == {"attempts": 2, "backoff_s": 1.0, "backoff_max_s": 60.0}
    assert spec["sinks"] == [{"kind": "postgres", "table": "pages"}]
    assert "input" not in spec and "priority" not in spec


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
