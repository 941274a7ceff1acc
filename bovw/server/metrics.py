"""What a server has done and how long it took, as Prometheus reads it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Meter", "Metrics"]

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The figures of one server.

    Attributes:
        registry: all of them.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "bovw_requests",
            "Requests by method, route and status.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "bovw_request_seconds",
            "Seconds until a request was answered.",
            ["route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._steps = Histogram(
            "bovw_search_step_seconds",
            "Seconds of each step of a search.",
            ["step"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._generation = Gauge(
            "bovw_index_generation", "Commits of an index.", ["index"], registry=self.registry
        )
        self._images = Gauge(
            "bovw_index_images", "Images of an index.", ["index"], registry=self.registry
        )

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Take note of an answer."""
        self._requests.labels(method, route, status).inc()
        self._seconds.labels(route).observe(seconds)

    def count_search(self, timings: Mapping[str, float]) -> None:
        """Take note of the steps of a search."""
        for step, seconds in timings.items():
            self._steps.labels(step).observe(seconds)

    def show_index(self, name: str, generation: int, images: int) -> None:
        """Take note of an index as it is now."""
        self._generation.labels(name).set(generation)
        self._images.labels(name).set(images)

    def show_processes(self, kind: str, unfinished: Callable[[], int]) -> None:
        """Have a number shown of what some processes have to do."""
        gauge = Gauge(
            f"bovw_{kind}_unfinished",
            f"Requests to {kind} that wait or are being worked on.",
            registry=self.registry,
        )
        gauge.set_function(unfinished)


class Meter:
    """The part of the application that counts."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and take note of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        before, status = time.perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            seconds = time.perf_counter() - before
            method = scope["method"] if scope["method"] in METHODS else "other"
            self._metrics.count_request(method, route_of(scope), status, seconds)


METHODS = ("GET", "HEAD", "POST", "DELETE", "OPTIONS")


def route_of(scope: Mapping[str, Any]) -> str:
    """The route of a request, without what its variable parts are: so they are few."""
    return str(getattr(scope.get("route"), "path", "none"))
