"""Fixtures of the end-to-end tests: factories that clean up, and logs of what failed."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fleet import Coordinator, FakeWorker, Front


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Iterator[None]:
    """Shows the logs in the test's folder when it failed."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    folder = getattr(item, "funcargs", {}).get("tmp_path")
    if report.when == "call" and report.failed and folder:
        # A link to a log may lead nowhere: its server never started, or is gone.
        for log in sorted(log for log in pathlib.Path(folder).rglob("*.log") if log.exists()):
            report.sections.append((str(log.name), log.read_text(errors="replace")[-20000:]))


@pytest.fixture
def coordinators(tmp_path: pathlib.Path) -> Iterator[Callable[..., Coordinator]]:
    """Makes coordinators (not started): coordinators(name="b", lease="500ms")."""
    made: list[Coordinator] = []

    def make(**options: Any) -> Coordinator:
        made.append(Coordinator(tmp_path, **options))
        return made[-1]

    yield make
    for one in made:
        ended_well(one)


def ended_well(coordinator: Coordinator) -> None:
    """Every test ends with an orderly stop, which a sanitizer or a leak would spoil."""
    process = coordinator.process
    if not process:
        return
    try:
        code = process.terminate() if process.running() else None
    finally:
        process.kill()
    assert code in (None, 0), f"exit code {code}:\n{process.text()[-5000:]}"
    assert "Sanitizer" not in process.text() and "runtime error:" not in process.text()


@pytest.fixture
def coordinator(coordinators: Callable[..., Coordinator]) -> Coordinator:
    """One that serves."""
    return coordinators().start()


@pytest.fixture
def fronts() -> Iterator[Callable[..., Front]]:
    """Makes clients: fronts(coordinator)."""
    made: list[Front] = []

    def make(to: Coordinator, **options: Any) -> Front:
        made.append(Front(to.front, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def front(coordinator: Coordinator, fronts: Callable[..., Front]) -> Front:
    return fronts(coordinator)


@pytest.fixture
def fake_workers() -> Iterator[Callable[..., FakeWorker]]:
    """Makes workers that tests steer: fake_workers(coordinator, name="w2")."""
    made: list[FakeWorker] = []

    def make(to: Coordinator, **options: Any) -> FakeWorker:
        made.append(FakeWorker(to.back, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()
