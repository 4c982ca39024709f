"""All functions of a folder behind one address, as Supabase's edge runtime serves them: a WSGI application.

    FUNCTIONS_DIR/wpp_create/main.py, target `wpp_create`   →   /functions/v1/wpp-create   and   /wpp-create

/healthz tells whether this process serves its functions, /readyz whether Supabase and WPP Platform can be reached. /metrics is
for Prometheus, on the port METRICS_PORT alone, to which no gateway leads.

The short path is for gateways that strip the prefix. A folder with a `main.py` is a function: a new one needs no registration.
A folder is not a function if its name begins with an underscore, as `_shared`, or is not a valid Python name.
A function that cannot be imported does not affect the others: its address answers 500, and the log has the reason.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import flask
from werkzeug.exceptions import HTTPException

import wpp.http.transport  # noqa: F401 - see create_app
from wpp.config import cors_allow_origin, functions_dir, metrics_port
from wpp.faas import logs
from wpp.faas.cors import cors_headers, preflight_headers
from wpp.faas.function import current_runtime, report_to
from wpp.faas.messages import json_answer
from wpp.faas.readiness import Readiness
from wpp.supabase.caller import CallerCheck
from wpp.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Target = Callable[[flask.Request], Any]
_LOG = logging.getLogger("wpp")


def create_app(folder: Path) -> flask.Flask:
    """The WSGI application that serves the functions found in `folder` as it is now.

    Everything is imported here: what other platforms put off for a short cold start, a worker's first callers would all wait for,
    and where the worker has no file left to open by then, they would fail.
    """
    CallerCheck.prepare()
    logs.set_up()
    targets = {path.parent.name: _load(path) for path in sorted(folder.glob("*/main.py")) if is_function(path)}
    _LOG.info("serving functions", extra={"wpp": {"functions": sorted(targets), "version": VERSION}})
    app = flask.Flask("wpp", static_folder=None)
    app.url_map.merge_slashes = False  # a redirect to the right address has no CORS headers

    def call(name: str) -> flask.typing.ResponseReturnValue:
        key = name.replace("-", "_")
        if key not in targets or "_" in name:
            return _error(404, "not_found", f"There is no function {name[:60]!r} here")
        target = targets[key]
        if target is None:
            return _error(500, "function_broken", f"The function {name} could not be loaded; the log says why")
        try:
            result: flask.typing.ResponseReturnValue = target(flask.request)
        except SystemExit as error:  # by the function itself, or by the server because it takes too long
            raise RuntimeError(f"{name} was ended: {error}").with_traceback(error.__traceback__) from error
        return result

    def health() -> flask.typing.ResponseReturnValue:
        broken = sorted(name for name, target in targets.items() if target is None)
        state = {"success": not broken, "functions": sorted(targets), "broken": broken, "version": VERSION}
        state["release"] = folder.resolve().parent.name  # tells two deployments of one version apart
        return _response(json_answer(503 if broken else 200, state, {}))

    readiness = Readiness(current_runtime)

    def ready() -> flask.typing.ResponseReturnValue:
        found = readiness.check()
        is_ready = set(found.values()) == {"ok"}
        return _response(json_answer(200 if is_ready else 503, {"success": is_ready, **found}, {}))

    app.add_url_rule("/healthz", view_func=health)
    app.add_url_rule("/readyz", view_func=ready)
    if port := metrics_port():
        _serve_metrics(app, port)
    app.view_functions["call"] = call
    for rule in ("/functions/v1/<name>", "/<name>"):
        # For every method, also one that Flask does not know: a function itself refuses the methods that it does not serve.
        app.url_map.add(app.url_rule_class(rule, endpoint="call", strict_slashes=False))
    app.register_error_handler(404, lambda _: _error(404, "not_found", "There is no function at this address"))
    app.register_error_handler(HTTPException, lambda error: _error(error.code or 500, "bad_request", error.name))
    app.register_error_handler(Exception, _unforeseen)
    return app


def _serve_metrics(app: flask.Flask, port: str) -> None:
    # Installed for this server alone.
    from prometheus_client import CollectorRegistry

    from wpp.faas import prometheus

    report_to(prometheus.Metrics(CollectorRegistry()))

    def metrics() -> flask.typing.ResponseReturnValue:
        if _port_of(flask.request.environ) != port:
            return _error(404, "not_found", "There is no function at this address")
        return flask.Response(prometheus.exposition(), content_type=prometheus.CONTENT_TYPE)

    app.add_url_rule("/metrics", view_func=metrics)


def _port_of(environ: Mapping[str, Any]) -> str:
    """The port that the request came in on; empty for a Unix socket, where gunicorn takes SERVER_PORT from the `Host` header."""
    connection = environ.get("gunicorn.socket")
    if connection is None:
        return str(environ["SERVER_PORT"])
    address = connection.getsockname()
    return str(address[1]) if isinstance(address, tuple) else ""


def is_function(path: Path) -> bool:
    """Whether the `main.py` at `path` is served: its folder has a valid Python name that does not begin with an underscore."""
    return path.parent.name.isidentifier() and not path.parent.name.startswith("_")


def _load(path: Path) -> Target | None:
    """The target in `path`, named like its folder; None, with the reason in the log, if it cannot be loaded."""
    name = path.parent.name
    # functions-framework names each module `main`; in one process they need different names.
    spec = importlib.util.spec_from_file_location(f"functions_{name}", path)
    assert spec is not None  # noqa: S101 - only a file name without a known suffix has no spec
    assert spec.loader is not None  # noqa: S101
    try:
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        target: Target = getattr(module, name)
        if not callable(target):
            raise TypeError(f"{name} in {path.name} must be a function")
    except BaseException as error:  # noqa: BLE001 - SystemExit too: no function may take the others down
        sys.modules.pop(spec.name, None)
        reason = f"{type(error).__name__}: {error}"
        _LOG.error("a function cannot be loaded", exc_info=error, extra={"wpp": {"function": name, "reason": reason}})
        return None
    return target


def _unforeseen(error: Exception) -> flask.Response:
    fields = {"function": (flask.request.view_args or {}).get("name")}
    _LOG.error("an unforeseen error", exc_info=error, extra={"wpp": fields})
    return _error(500, "internal_error", "Internal error")


def _error(status: int, code: str, text: str) -> flask.Response:
    if flask.request.method == "OPTIONS":
        return flask.Response(status=204, headers=preflight_headers(cors_allow_origin()))
    body = {"success": False, "error": text, "code": code, "retryable": False}
    return _response(json_answer(status, body, cors_headers(cors_allow_origin())))


def _response(answer: Any) -> flask.Response:
    return flask.Response(answer.body, answer.status, dict(answer.headers))


def app_from_environment() -> flask.Flask:
    """For WSGI servers: `gunicorn 'wpp.faas.server:app_from_environment()'`. FUNCTIONS_DIR defaults to ./functions."""
    folder = functions_dir()
    if not folder.is_dir():
        raise RuntimeError(f"FUNCTIONS_DIR must be the folder with the functions; {folder} is not a folder")
    return create_app(folder)
