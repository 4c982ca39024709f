"""Metrics of the server of one's own, in the form that Prometheus reads. Several workers share them through files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

if TYPE_CHECKING:
    from wpp.faas.reports import CallReport

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 1.5, 2, 3, 5, 10, 20, 30)


class Metrics:
    """Kept in the folder that the environment variable PROMETHEUS_MULTIPROC_DIR named when this module was imported; `registry`
    is what this worker knows, and `exposition` is for all of them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Counter(
            "wpp_calls", "Calls answered, by function, HTTP status and code.", ["function", "status", "code"],
            registry=registry,
        )  # fmt: skip
        self._call_seconds = Histogram(
            "wpp_call_seconds", "From a call to its answer.", ["function"], buckets=_SECONDS, registry=registry
        )
        self._qr_seconds = Histogram(
            "wpp_qr_seconds", "From a call to the answer that shows a QR.", ["function"], buckets=_SECONDS,
            registry=registry,
        )  # fmt: skip
        self._in_progress = Gauge(
            "wpp_calls_in_progress", "Calls that are not answered yet: people who wait.", ["function"],
            multiprocess_mode="livesum", registry=registry,
        )  # fmt: skip
        self._requests = Counter(
            "wpp_upstream_requests", "Requests to Supabase and WPP Platform.", ["system", "call", "result"],
            registry=registry,
        )  # fmt: skip
        self._request_seconds = Histogram(
            "wpp_upstream_seconds", "From a request to its response.", ["system", "call"], buckets=_SECONDS,
            registry=registry,
        )  # fmt: skip
        self._events = Counter(
            "wpp_events", "Clients created, sessions started and restarted, claims taken over.", ["event"],
            registry=registry,
        )  # fmt: skip
        self._states = Counter(
            "wpp_session_states", "States of sessions that calls saw last.", ["function", "state"], registry=registry
        )

    def began(self, function: str) -> None:
        self._in_progress.labels(function).inc()

    def answered(self, report: CallReport) -> None:
        self._in_progress.labels(report.function).dec()
        self._calls.labels(report.function, report.status, report.code or "ok").inc()
        self._call_seconds.labels(report.function).observe(report.seconds)
        if report.shows_qr:
            self._qr_seconds.labels(report.function).observe(report.seconds)
        for request in report.trace.requests:
            self._requests.labels(request.system, request.name, request.result).inc()
            self._request_seconds.labels(request.system, request.name).observe(request.duration)
        for event, times in dict(report.trace.events).items():  # what only helps may still be counting
            self._events.labels(event).inc(times)
        if report.trace.session_state is not None:
            self._states.labels(report.function, report.trace.session_state).inc()


def exposition() -> bytes:
    """Of all workers, those that have ended included."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
