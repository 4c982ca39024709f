"""AWS's own runtime client, serving a folder as Lambda would, and the Runtime API that it asks for events.

The API: docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html; with SnapStart also `GET /runtime/restore/next`.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import sysconfig
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from emulator.processes import FunctionProcess

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

_ARN = "arn:aws:lambda:eu-central-1:123456789012:function:under-test"
_PATIENCE = 20.0  # seconds
# What Lambda's image brings along; botocore keeps no urllib3 of its own, but the one of a function goes before.
_IMAGE = ["awslambdaric", "runtime_client*.so", "snapshot_restore_py.py", "simplejson"]
_IMAGE += ["boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six.py", "urllib3"]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """An instance that is killed hangs up: nothing to report."""


class RuntimeApi:
    """What Lambda offers to the process in an instance, for one process at a time."""

    def __init__(self) -> None:
        self.initialised = threading.Event()
        self.restored = threading.Event()
        """To be set by a test: with SnapStart, the process sleeps in its snapshot until then."""
        self.errors: list[Any] = []
        self._events: queue.Queue[tuple[str, Any, float]] = queue.Queue()
        self._answers: dict[str, queue.Queue[Any]] = {}
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1  # header and body in one packet

            def do_GET(self) -> None:
                if self.path.endswith("/restore/next"):
                    api.initialised.set()
                    api.restored.wait(_PATIENCE)
                    self._send(b"")
                    return
                api.initialised.set()
                request_id, event, deadline = api._events.get()
                self._send(
                    json.dumps(event).encode(),
                    {
                        "Content-Type": "application/json",  # without it the runtime client crashes
                        "Lambda-Runtime-Aws-Request-Id": request_id,
                        "Lambda-Runtime-Deadline-Ms": str(int(deadline * 1000)),
                        "Lambda-Runtime-Invoked-Function-Arn": _ARN,
                        "Lambda-Runtime-Trace-Id": "Root=1-5e1b4151-5ac6c58f5ac6c58f5ac6c58f;Sampled=0",
                    },
                )

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"] or 0)) or "null")
                *_, request_id, kind = self.path.split("/")
                if kind == "response":
                    api._answers[request_id].put(body)
                else:
                    api.errors.append(body)
                    for waiting in api._answers.values():
                        waiting.put(body)
                self._send(b"{}", status=202)

            def _send(self, body: bytes, headers: Mapping[str, str] | None = None, status: int = 200) -> None:
                self.send_response(status)
                for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
                self.wfile.flush()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def invoke(self, event: Any, *, seconds: float = 29.0) -> Any:
        """What the handler returned, or the error that the runtime client reported. `seconds` is the function's timeout."""
        request_id = str(uuid.uuid4())
        self._answers[request_id] = queue.Queue()
        self._events.put((request_id, event, time.time() + seconds))
        return self._answers[request_id].get(timeout=_PATIENCE)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class LambdaInstance:
    """One instance of a function: a process of AWS's runtime client with `task` as /var/task, and nothing else to import.

    `image` is a folder that is filled with what Lambda's image has. Nothing is compiled into `task`: Lambda's is read-only.
    """

    def __init__(
        self,
        task: Path,
        image: Path,
        env: Mapping[str, str],
        *,
        handler: str = "main.handler",
        snap_start: bool = False,
        options: tuple[str, ...] = (),
    ) -> None:
        self.api = RuntimeApi()
        _fill(image)
        # Without `site` there are no installed packages but those on PYTHONPATH.
        self.process = FunctionProcess(
            ["-S", *options, "-m", "awslambdaric", handler],
            {
                **env,
                "PYTHONPATH": f"{task}{os.pathsep}{image}",
                "PYTHONDONTWRITEBYTECODE": "1",
                "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self.api.port}",
                "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start" if snap_start else "on-demand",
                "AWS_LAMBDA_FUNCTION_NAME": "under-test",
                "AWS_LAMBDA_FUNCTION_VERSION": "1",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
                "AWS_REGION": "eu-central-1",
                "LAMBDA_TASK_ROOT": str(task),
            },
            self.api.port,
            python=getattr(sys, "_base_executable", sys.executable),
            cwd=task,
        )

    def invoke(self, event: Any, *, seconds: float = 29.0) -> Any:
        try:
            return self.api.invoke(event, seconds=seconds)
        except queue.Empty:
            raise AssertionError(f"the instance does not answer:\n{self.process.output()[-3000:]}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.stop()
        self.api.close()


def _fill(image: Path) -> None:
    if not image.is_dir():
        image.mkdir()
        installed = Path(sysconfig.get_path("purelib"))
        for pattern in _IMAGE:
            for path in installed.glob(pattern):
                (image / path.name).symlink_to(path)
