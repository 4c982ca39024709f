"""What a command found out, and how it is shown: lines for a person, JSON for a script, one exit code."""

from __future__ import annotations

import io
import json
import sys
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from wpp.redaction import one_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from wpp.runtime import Invocation, Runtime

    Act = Callable[[Invocation, argparse.Namespace], "Result"]
    Run = Callable[[Runtime, argparse.Namespace], int]

DONE, FAILED, USAGE, NOT_FOUND, TRY_AGAIN, LEFT, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130


class NotFound(Exception):  # an answer, not a failure: it has an exit code of its own
    pass


class WrongUsage(Exception):  # what argparse cannot see
    pass


@dataclass(frozen=True)
class Result:
    fields: dict[str, Any]
    """What `--json` prints, and without it a line each."""
    qr: str | None = field(default=None, repr=False)
    code: int = DONE
    numbers: list[dict[str, Any]] | None = None
    """A line each, where a command is about several."""


def shown(act: Act) -> Run:
    """A command from what it does."""

    def run(runtime: Runtime, options: argparse.Namespace) -> int:
        invocation = runtime.begin("cli", uuid.uuid4().hex)
        result = act(invocation, options)
        for warning in invocation.warnings:
            print(f"warning: {one_line(warning)}", file=sys.stderr)
        _show(result, as_json=options.json)
        return result.code

    return run


def _show(result: Result, *, as_json: bool) -> None:
    if as_json:
        also = {"qrcode": result.qr, "numbers": result.numbers}
        fields = result.fields | {name: value for name, value in also.items() if value is not None}
        print(json.dumps(fields, ensure_ascii=False))
        return
    for name, value in result.fields.items():
        print(f"{name}: {one_line(str(value))}")
    for number in result.numbers or ():
        print(", ".join(f"{name}: {one_line(_text(value))}" for name, value in number.items() if value is not None))
    if result.qr:
        print()
        draw(result.qr)


def _text(value: Any) -> str:
    return {True: "yes", False: "no"}.get(value, str(value))


def draw(qr: str) -> None:
    """Draws a QR that came as pairing text. Raises WrongUsage."""
    if qr.startswith("data:"):
        raise WrongUsage("this platform sends its QR as a picture; --json prints it, for a browser's address bar")
    try:
        import segno  # the functions do not need it, so it is not deployed with them
    except ModuleNotFoundError:
        raise WrongUsage("drawing a QR needs the package segno; --json prints the QR's text") from None
    drawing = io.StringIO()
    segno.make(qr, error="l").terminal(drawing, compact=True, border=2)
    for line in drawing.getvalue().splitlines():
        # Bright white on black by name: a theme with dark text on white would turn the QR into its negative.
        print(f"\x1b[97;40m{line}\x1b[0m" if sys.stdout.isatty() else line)
