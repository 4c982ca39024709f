"""What has been reached, by package and module, and the survivors with what makes them differ."""

from __future__ import annotations

import tomllib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.mutants import kinds
from tests.mutants.generated import KILLED, NO_TESTS, SURVIVED, TIMED_OUT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.mutants.generated import Mutant

_REASONS = Path(__file__).with_name("equivalent")
_COLUMNS = ("mutants", "killed", "timed out", "survived", "explained", "unchecked")
_VERDICTS = {KILLED: "killed", TIMED_OUT: "timed out", SURVIVED: "survived", NO_TESTS: "survived", None: "unchecked"}


@dataclass
class Explanation:
    """Why a mutant cannot be told from the code as it is. Known by its text, as mutmut's numbers move."""

    function: str
    line: str
    reason: str
    used: int = field(default=0)


def explanations() -> list[Explanation]:
    """Those of equivalent/*.toml."""
    files = sorted(_REASONS.glob("*.toml"))
    return [Explanation(**entry) for file in files for entry in tomllib.loads(file.read_text()).get("equivalent", [])]


def line_of(mutant: Mutant) -> str:
    """How an entry names it: the lines that are new, or, where a line is only left out, that line after a minus sign."""
    before, after = _lines(mutant)
    return after or "- " + before


def _lines(mutant: Mutant) -> tuple[str, str]:
    difference = mutant.difference()
    before, after = (" ".join(line[1:].strip() for line in difference if line.startswith(sign)) for sign in ("-", "+"))
    return before, after


class Table:
    """With `whole`, the mutants are all there are: then an explanation that explains none of them is stale."""

    def __init__(self, mutants: Iterable[Mutant], *, whole: bool) -> None:
        self._whole = whole
        self._explanations = explanations()
        self._counts: dict[str, Counter[str]] = {}
        self._survivors: list[Mutant] = []
        for mutant in mutants:
            self._count(mutant)

    def _count(self, mutant: Mutant) -> None:
        verdict = _VERDICTS.get(mutant.exit_code, "killed")
        if verdict == "survived":
            if self._is_explained(mutant):
                verdict = "explained"
            else:
                self._survivors.append(mutant)
        for group in ("all", mutant.module.partition(".")[0], mutant.module):
            self._counts.setdefault(group, Counter()).update([verdict, "mutants"])

    def _is_explained(self, mutant: Mutant) -> bool:
        candidates = [one for one in self._explanations if one.function == mutant.shown_function]
        found = [one for one in candidates if one.line == line_of(mutant)]
        for explanation in found:
            explanation.used += 1
        return bool(found) or kinds.reason(*_lines(mutant)) is not None

    def lines(self) -> Iterator[str]:
        yield f"{'':<28}" + "".join(f"{column:>11}" for column in _COLUMNS) + "   without a reason"
        for group in sorted(self._counts, key=lambda group: (group == "all", group)):
            count = self._counts[group]
            share = (count["survived"] + count["unchecked"]) / count["mutants"]
            name = "  " + group if "." in group else group
            yield f"{name:<28}" + "".join(f"{count[column]:>11}" for column in _COLUMNS) + f"{share:>18.1%}"
        for explanation in self._explanations if self._whole else []:
            if not explanation.used:
                yield f"stale, as no such mutant survives: {explanation.function}: {explanation.line}"

    def survivors(self) -> Iterator[str]:
        """Those without an explanation, each with what it changes."""
        for mutant in self._survivors:
            yield mutant.shown_function + (" (no test runs it)" if mutant.exit_code == NO_TESTS else "")
            yield from (f"    {line}" for line in mutant.difference())
            yield ""
