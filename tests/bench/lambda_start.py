"""Cold start on Lambda: from the start of AWS's runtime client to the first answer, of several handlers in turn.

    make bench-start

The functions are the built zips, unpacked. Beside them: an empty handler, and one that only imports what every client of an HTTP
API with JWT loads. The stack that they call answers without delay.
"""

from __future__ import annotations

import re
import shutil
import statistics
import sys
import tempfile
import time
import uuid
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from deploy import aws_build
from deploy.aws_build import Target
from emulator.stack import Stack
from tests.support.lambda_runtime import LambdaInstance

if TYPE_CHECKING:
    from collections.abc import Mapping

_ROUNDS = 15
REFERENCE = "imports requests and jose.jwt"
GET = "wpp_create, GET"
CREATE = "wpp_create, full call"
_EMPTY = "def handler(event, context):\n    return {}\n"
_REFERENCE = "import requests\nimport jose.jwt\n\n" + _EMPTY
_IMPORT = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \| ( *)(\S+)")


class LambdaStarts(NamedTuple):
    times: dict[str, list[float]]
    """Seconds from process start to first answer, by case."""
    bundle: int
    """Bytes of the zip of wpp-create."""
    tasks: dict[str, Path]


def measured(folder: Path, stack: Stack, token: str, rounds: int) -> LambdaStarts:
    """Builds the zips into `folder`, and starts each case `rounds` times, in turn."""
    tasks = _tasks(folder)
    get, post = _event("GET", token), _event("POST", token)
    cases: dict[str, tuple[Path, Any]] = {
        "empty handler": (tasks["empty"], get),
        REFERENCE: (tasks["reference"], get),
        GET: (tasks["wpp_create"], get),
        CREATE: (tasks["wpp_create"], post),
        "wpp_provision, full call": (tasks["wpp_provision"], post),
        "wpp_create, full call, no .pyc": (tasks["uncompiled"], post),
    }
    times: dict[str, list[float]] = {case: [] for case in cases}
    for _ in range(rounds):
        for case, (task, event) in cases.items():
            times[case].append(_start(task, folder / "image", stack.environment(), event))
    return LambdaStarts(times, (folder / "dist/wpp_create.zip").stat().st_size, tasks)


def main() -> None:
    with tempfile.TemporaryDirectory() as name, Stack() as stack:
        folder = Path(name)
        stack.supabase.add_user("bench@example.com", organization_id=str(uuid.uuid4()))
        token = stack.supabase.sign_in("bench@example.com")
        found = measured(folder, stack, token, _ROUNDS)
        reference = statistics.median(found.times[REFERENCE])
        print(f"\nfrom process start to first answer, medians of {_ROUNDS}, in turn")
        for case, taken in found.times.items():
            median = statistics.median(taken)
            print(f"  {case:<34}{median * 1000:7.0f} ms  {median / reference:6.2f}")
        _print_imports(found.tasks["wpp_create"], folder / "image", stack.environment(), _event("POST", token))


def _event(method: str, token: str) -> dict[str, Any]:
    return {
        "version": "2.0",
        "requestContext": {"http": {"method": method}},
        "headers": {"authorization": f"Bearer {token}"},
    }


def _tasks(folder: Path) -> dict[str, Path]:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    target = Target(version, aws_build.this_machine(), sys.executable)
    tasks = {}
    for path in aws_build.build(target, folder / "dist"):
        tasks[path.stem] = folder / path.stem
        with zipfile.ZipFile(path) as archive:
            archive.extractall(tasks[path.stem])
    for name, source in {"empty": _EMPTY, "reference": _REFERENCE}.items():
        tasks[name] = folder / name
        shutil.copytree(folder / "dist/aws/packages", tasks[name])
        (tasks[name] / "main.py").write_text(source)
        aws_build.compile_all(tasks[name] / "main.py", tasks[name], sys.executable)
    tasks["uncompiled"] = folder / "uncompiled"
    without = shutil.ignore_patterns("__pycache__")
    shutil.copytree(tasks["wpp_create"], tasks["uncompiled"], ignore=without)
    return tasks


def _start(task: Path, image: Path, env: Mapping[str, str], event: Any) -> float:
    begin = time.perf_counter()
    with LambdaInstance(task, image, env) as instance:
        answer = instance.invoke(event)
        taken = time.perf_counter() - begin
    assert answer.get("statusCode", 200) == 200, answer
    return taken


def _print_imports(task: Path, image: Path, env: Mapping[str, str], event: Any) -> None:
    """Which top-level packages the imports go to, each with what only it brought along."""
    with LambdaInstance(task, image, env, options=("-X", "importtime")) as instance:
        instance.invoke(event)
        output = instance.process.output()
    own: dict[str, int] = {}
    for micros, _, _, module in _IMPORT.findall(output):
        package = module.split(".")[0]
        own[package] = own.get(package, 0) + int(micros)
    print(f"\nimports, {sum(own.values()) / 1000:.0f} ms under -X importtime, by package")
    for package, micros in sorted(own.items(), key=lambda item: -item[1])[:20]:
        print(f"  {package:<34}{micros / 1000:7.1f} ms")


if __name__ == "__main__":
    main()
