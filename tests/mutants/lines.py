"""Which lines of a mutated file have to run for a mutant to make a difference.

A mutated file holds each function as it was (`…__mutmut_orig`) and once for each of its mutants. While the tests are measured,
the first of them runs: its lines are what a test is known by.
"""

from __future__ import annotations

import ast
import textwrap
from functools import cache
from typing import TYPE_CHECKING

from tests.mutants.generated import FOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.mutants.generated import Mutant


def lines_of(mutant: Mutant) -> list[int]:
    """Those of the statements that differ; the whole function's where they have no lines of their own."""
    spans, file = _spans(str(mutant.file.path)), _file(mutant.path)
    name = mutant.name.rpartition(".")[2]
    original = spans[name.partition("__mutmut_")[0] + "__mutmut_orig"]
    before, after = file[slice(*original)], file[slice(*spans[name])]
    same_first = next((n for n, (a, b) in enumerate(zip(before, after, strict=False)) if n and a != b), 0)
    pairs = zip(reversed(before), reversed(after), strict=False)
    same_last = next((n for n, (a, b) in enumerate(pairs) if a != b), 0)
    last = max(same_first, len(before) - 1 - same_last)
    (function,) = ast.parse(textwrap.dedent("".join(before))).body
    begin, end = _statement(function, same_first + 1, last + 1)
    return list(range(original[0] + begin, original[0] + end + 1))


def _statement(node: ast.stmt, first: int, last: int) -> tuple[int, int]:
    """From where to where the smallest one goes that holds these lines; of one with a body, its head where that holds them."""
    for child in _inner(node):
        if child.lineno <= first and last <= (child.end_lineno or 0):
            return _statement(child, first, last)
    body = getattr(node, "body", None)
    is_function = isinstance(node, ast.FunctionDef)
    end = body[0].lineno - 1 if body and not is_function and last < body[0].lineno else node.end_lineno or node.lineno
    return node.lineno, max(end, node.lineno)


def _inner(node: ast.AST) -> list[ast.stmt]:
    """The statements in it, wherever they stand: in a body, under `else` or `except`, in a `case`."""
    found = []
    for child in ast.iter_child_nodes(node):
        found += [child] if isinstance(child, ast.stmt) else _inner(child)
    return found


@cache
def _spans(path: str) -> Mapping[str, tuple[int, int]]:
    """For slices of the file's lines."""
    import json

    spans = json.loads((FOLDER / "mutants" / f"{path}.spans").read_text())["spans"]
    return {name: (start - 1, end) for name, (start, end) in spans.items()}


@cache
def _file(path: str) -> list[str]:
    return (FOLDER / "mutants/src" / path).read_text().splitlines(keepends=True)
