"""The command that goes over the numbers of all organizations: a line for each that something is wrong with, and a summary."""

from __future__ import annotations

import json
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from wpp.cli.number import session_of
from wpp.cli.result import DONE, INTERRUPTED, LEFT
from wpp.operating.reconciler import Reconciler
from wpp.redaction import one_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from wpp.operating.findings import Finding
    from wpp.operating.reconciler import Outcome
    from wpp.runtime import Runtime


def reconcile(runtime: Runtime, options: argparse.Namespace) -> int:
    """It ends between two numbers when it is interrupted, and tells where to go on."""
    counts = dict.fromkeys(("numbers", "with findings", "fixed", "left", "busy"), 0)
    with _interruption() as interrupted:
        reconciler = Reconciler(runtime, fix=options.fix, rate=options.rate, is_over=interrupted.is_set)
        try:
            for outcome in reconciler.outcomes(options.after):
                _count(outcome, counts)
                if outcome.found:
                    _print(_fields(outcome) if options.json else _line(outcome))
        finally:
            if not reconciler.is_complete:
                again = f"--after {reconciler.after}" if reconciler.after else "without --after"
                print(f"not all numbers were examined; to go on, call it again {again}", file=sys.stderr)
        if options.json:
            summary = {name.replace(" ", "_"): count for name, count in counts.items()}
            _print({"summary": summary, "is_complete": reconciler.is_complete, "after": reconciler.after})
        else:
            _print(", ".join(f"{name}: {count}" for name, count in counts.items()))
    if not reconciler.is_complete:
        return INTERRUPTED
    return LEFT if counts["left"] else DONE


@contextmanager
def _interruption() -> Iterator[threading.Event]:
    """Set by the first SIGINT or SIGTERM; the next one ends the process as usual."""
    interrupted = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def interrupt(*_: Any) -> None:
        restore()
        interrupted.set()
        print("finishing what was begun", file=sys.stderr)

    for number in before:
        signal.signal(number, interrupt)
    try:
        yield interrupted
    finally:
        restore()


def _count(outcome: Outcome, counts: dict[str, int]) -> None:
    counts["numbers"] += 1
    counts["with findings"] += bool(outcome.found)
    counts["left"] += bool(outcome.left)
    counts["fixed"] += bool(outcome.found) and not outcome.left and not outcome.is_busy
    counts["busy"] += outcome.is_busy


def _fields(outcome: Outcome) -> dict[str, Any]:
    findings = [{"kind": f.kind, "text": f.text, "fixed": is_fixed} for f, is_fixed in _findings(outcome)]
    return {
        "integration": outcome.row.id,
        "organization": outcome.row.organization_id,
        "session": session_of(outcome.row),
        "findings": findings,
        "problems": list(outcome.problems),
    }


def _findings(outcome: Outcome) -> list[tuple[Finding, bool]]:
    """Each with whether it is fixed; those that came to light by fixing others are the last."""
    found, left = [{finding.kind for finding in findings} for findings in (outcome.found, outcome.left)]
    known = [(finding, finding.kind not in left and not outcome.is_busy) for finding in outcome.found]
    return known + [(finding, False) for finding in outcome.left if finding.kind not in found]


def _line(outcome: Outcome) -> str:
    findings = [f"{f.kind}: {'fixed' if is_fixed else f.text}" for f, is_fixed in _findings(outcome)]
    return f"{outcome.row.id} of {outcome.row.organization_id}: {'; '.join([*findings, *outcome.problems])}"


def _print(line: str | dict[str, Any]) -> None:
    print(one_line(line) if isinstance(line, str) else json.dumps(line, ensure_ascii=False), flush=True)
