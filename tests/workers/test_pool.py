"""Worker processes: results in order, one item lost to one crash or hang, nothing left behind."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bovw.errors import BovwError, ParameterError
from bovw.reporting import Failure
from bovw.workers.pool import run_in_processes
from bovw.workers.process import Work
from tests.helpers import tasks as chores
from tests.helpers.tasks import described, doomed, doubled, endless, obeyed, threads

# Seconds that an item may take where some hang.
PATIENCE = 3


def children() -> set[str]:
    """The child processes of this one, dead ones that nobody has asked for included."""
    found = set[str]()
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError):  # a thread that has ended meanwhile
            found.update((task / "children").read_text().split())
    return found


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No process, no file handle and no temporary file outlives its use."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = len(os.listdir("/proc/self/fd")), children()
    yield
    assert (len(os.listdir("/proc/self/fd")), children()) == before
    assert list(tmp_path.iterdir()) == []


def reason(result: Any) -> str:
    return result.reason.partition(": ")[2] if isinstance(result, Failure) else str(result)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "size", "jobs"),
    [(0, 3, 2), (1, 3, 2), (50, 3, 2), (50, 1, 3), (7, 100, 1), (20, 3, 0)],
)
def test_results_come_in_the_order_of_the_items(count: int, size: int, jobs: int) -> None:
    assert list(run_in_processes(Work(doubled), range(count), size, jobs, 60)) == [
        2 * item for item in range(count)
    ]


def test_the_items_of_a_chunk_are_finished_together() -> None:
    for jobs in (0, 2):
        assert list(run_in_processes(Work(doubled, described), range(5), 2, jobs, 60)) == [
            "0 of 2",
            "2 of 2",
            "4 of 2",
            "6 of 2",
            "8 of 1",
        ]


def test_chunks_and_results_larger_than_a_socket_holds_pass() -> None:
    items = [bytes([number]) * (1 << 22) for number in range(3)]
    assert list(run_in_processes(Work(bytes), items, 1, 1, 60)) == items


def test_fewer_jobs_than_none_are_refused() -> None:
    with pytest.raises(ParameterError, match="jobs: -1 is below 0"):
        list(run_in_processes(Work(doubled), range(3), 1, -1, 60))


@pytest.mark.slow
def test_a_crash_or_a_hang_costs_one_item() -> None:
    orders = {
        2: "SIGSEGV",
        3: "exit",
        4: "hang in C",
        9: "SIGKILL",
        12: "stop",
        13: "hang",
        15: "SIGABRT",
    }
    items = [(number, orders.get(number, "")) for number in range(16)]
    found = list(run_in_processes(Work(obeyed), items, 4, 2, PATIENCE))
    assert [result for result in found if isinstance(result, int)] == [
        number for number in range(16) if number not in orders
    ]
    slow = f"more than {PATIENCE} seconds (limit: seconds)"
    expected = {
        2: "SIGSEGV",
        3: "exit code 3",
        4: slow,
        9: "SIGKILL (was the memory full?)",
        12: slow,
        13: slow,
        15: "SIGABRT",
    }
    assert {number: reason(found[number]) for number in orders} == expected


@pytest.mark.slow
def test_every_item_of_a_chunk_may_be_lost() -> None:
    found = list(
        run_in_processes(Work(obeyed, described), [(0, "exit"), (1, "exit"), (2, "")], 2, 1, 60)
    )
    assert [reason(result) for result in found] == ["exit code 3", "exit code 3", "2 of 1"]


def test_an_error_ends_the_work_and_says_where_it_came_from() -> None:
    with pytest.raises(OSError, match="as ordered") as caught:
        list(run_in_processes(Work(obeyed), [(0, ""), (1, "error")], 1, 2, 60))
    assert "tasks.py" in caught.value.__notes__[0]


@pytest.mark.slow
def test_processes_that_end_for_no_item_are_not_started_for_ever() -> None:
    with pytest.raises(BovwError, match="exit code 5; try fewer jobs"):
        list(run_in_processes(Work(doubled, doomed), range(3), 3, 1, 60))


@pytest.mark.slow
def test_a_chunk_that_hangs_at_no_item_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bovw.workers.process.GRACE", 0)
    with pytest.raises(BovwError, match="end too early: took too long: more than 1 seconds"):
        list(run_in_processes(Work(doubled, endless), range(3), 3, 1, 1))


def test_work_that_a_process_cannot_load_is_an_error_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doubled, "__module__", "no_such_module")
    monkeypatch.setitem(sys.modules, "no_such_module", chores)
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        list(run_in_processes(Work(doubled), range(3), 3, 1, 60))


def test_work_may_be_given_up_in_the_middle() -> None:
    others = children()  # of tests that came before, in this process
    results = run_in_processes(Work(doubled), iter(range(10**9)), 2, 2, 60)
    assert [next(results) for _ in range(5)] == [0, 2, 4, 6, 8]
    assert len(children() - others) == 2
    results.close()


@pytest.mark.slow
def test_no_process_starts_threads_for_pictures_or_matrices() -> None:
    # the second thread waits for the end of the parent
    assert set(run_in_processes(Work(threads), range(2), 1, 2, 60)) == {(2, 1)}
