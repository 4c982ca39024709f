"""Cold starts: from the start of a process to its first answer, under functions-framework and on Lambda."""

from __future__ import annotations

import socket
import sys
import time
from typing import TYPE_CHECKING

from emulator.processes import ROOT, FunctionProcess, free_port
from tests.bench import lambda_start
from tests.bench.calls import CREATE, delayed
from tests.bench.measured import trees_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from emulator.stack import Stack
    from tests.bench.calls import User
    from tests.bench.report import Report

_START_SECONDS = 30.0


_REFERENCE = "import requests\nimport jose.jwt\n\n\ndef reference(request):\n    return b'{}', 200, {}\n"
"""The least that a client of an HTTP API with JWT loads: what the functions' own start is held against."""


def framework_starts(report: Report, stack: Stack, user: User, folder: Path, rounds: int, since: Path | None) -> None:
    report.heading("cold start under functions-framework")
    env = stack.environment()
    reference = folder / "reference.py"
    reference.write_text(_REFERENCE)
    cases = {
        "functions-framework, imports requests and jose.jwt": (reference, "reference", {}, "GET"),
        "functions-framework, wpp-create, GET": (CREATE, "wpp_create", env, "GET"),
        "functions-framework, wpp-create, full call": (CREATE, "wpp_create", env, "POST"),
    }
    times: dict[str, list[float]] = {case: [] for case in cases}
    for _ in range(rounds):
        for case, (source, target, environment, method) in cases.items():
            times[case].append(_framework_start(source, target, environment, method, user.token))
    imports, start, call = [report.times(case, taken) for case, taken in times.items()]
    report.ratio("framework_start_times_imports", start / imports)
    report.ratio("framework_first_call_times_imports", call / imports)
    report.heading("wpp-create, full call, 20 ms for each upstream call and 40 for each new connection")
    trees = trees_of(since)
    remote: dict[str, list[float]] = {name: [] for name in trees}
    with delayed(stack, 20, connect=40):
        for _ in range(rounds):
            for name, tree in trees.items():
                source, path = tree / "functions/wpp_create/main.py", {"PYTHONPATH": str(tree / "shared")}
                remote[name].append(_framework_start(source, "wpp_create", env | path, "POST", user.token))
    first = {name: report.times(f"wpp-create, full call, {name}", taken) for name, taken in remote.items()}
    if since:
        report.ratio("framework_first_call_since", first["now"] / first["since"])


def lambda_starts(report: Report, stack: Stack, user: User, folder: Path, rounds: int) -> None:
    report.heading("cold start under AWS's runtime client")
    found = lambda_start.measured(folder, stack, user.token, rounds)
    medians = {case: report.times(f"awslambdaric, {case}", taken) for case, taken in found.times.items()}
    report.ratio("lambda_start_times_imports", medians[lambda_start.GET] / medians[lambda_start.REFERENCE])
    report.ratio("lambda_first_call_times_imports", medians[lambda_start.CREATE] / medians[lambda_start.REFERENCE])
    report.number("bundle of wpp-create, zipped", found.bundle / 1e6, "MB")


def _framework_start(source: Path, target: str, env: Mapping[str, str], method: str, token: str) -> float:
    port = free_port()
    arguments = ["-m", "functions_framework", "--source", str(source), "--target", target, "--port", str(port)]
    began = time.perf_counter()
    with FunctionProcess([*arguments, "--host", "127.0.0.1"], env, port, python=sys.executable, cwd=ROOT) as process:
        request = f"{method} / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n"
        with _connected(port, began) as connection:
            connection.sendall(request.encode())
            answer = connection.recv(65_536)
        taken = time.perf_counter() - began
        assert answer.startswith(b"HTTP/1.1 200"), answer + process.output().encode()
    return taken


def _connected(port: int, began: float) -> socket.socket:
    """A connection, as soon as the port accepts one."""
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=_START_SECONDS)
        except OSError:
            if time.perf_counter() - began > _START_SECONDS:
                raise
            time.sleep(0.002)
