"""Work that comes item by item: bounded, and one item lost to one crash or hang."""

from __future__ import annotations

import time
from concurrent.futures import CancelledError

import pytest

from bovw.errors import BusyError
from bovw.reporting import Failure
from bovw.workers import service as services
from bovw.workers.process import Work
from bovw.workers.service import Service
from tests.helpers.tasks import doubled, obeyed


def test_items_are_worked_on_as_they_come() -> None:
    service = Service(Work(doubled), 2, 60, 100)
    futures = [service.submit(item) for item in range(20)]
    assert [future.result() for future in futures] == [2 * item for item in range(20)]
    assert service.unfinished == 0
    service.close()


def test_a_crash_a_hang_and_an_error_cost_the_item_that_they_come_from() -> None:
    service = Service(Work(obeyed), 1, 1, 100)
    orders = [(0, "exit"), (1, ""), (2, "hang in C"), (3, ""), (4, "error"), (5, "")]
    futures = [service.submit(order) for order in orders]
    crash, hang = futures[0].result(), futures[2].result()
    assert isinstance(crash, Failure) and "exit code 3" in crash.reason
    assert isinstance(hang, Failure) and "took too long" in hang.reason
    with pytest.raises(OSError, match="as ordered"):
        futures[4].result()
    assert [futures[number].result() for number in (1, 3, 5)] == [1, 3, 5]
    service.close()


def test_what_does_not_fit_is_refused_and_closing_drops_what_waits() -> None:
    service = Service(Work(obeyed), 1, 1, 1)
    begun = service.submit((0, "hang"))
    while not begun.running():
        time.sleep(0.01)
    waiting = service.submit((1, ""))
    with pytest.raises(BusyError, match="2 others are waiting"):
        service.submit((2, ""))
    service.close()
    assert isinstance(begun.result(), Failure)
    with pytest.raises(CancelledError):
        waiting.result()
    with pytest.raises(BusyError, match="ending"):
        service.submit((3, ""))


def test_a_place_is_kept_for_who_is_on_the_way_but_not_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = Service(Work(doubled), 1, 60, 0)
    with service.place() as place:
        with pytest.raises(BusyError, match="1 others are waiting"):
            service.require_room()
        with pytest.raises(BusyError), service.place():
            pass
        assert service.submit(4, place).result() == 8
    with service.place():
        pass
    monkeypatch.setattr(services, "HELD_SECONDS", 0.0)
    with service.place() as late:
        assert service.submit(5).result() == 10
        assert service.submit(6, late).result() == 12
    service.close()
