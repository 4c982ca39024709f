"""What a query string asks for, as values: which columns, which embedded tables, which rows, in which order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Quantifier = Literal["any", "all"]
Join = Literal["inner", "left"]


@dataclass(frozen=True)
class Arrow:
    """A step into JSON: `->key`, `->>key`, `->0`."""

    key: str
    as_text: bool
    is_index: bool


@dataclass(frozen=True)
class Field:
    """A column, perhaps with a path into its JSON: `settings->wppClaim->>id`."""

    name: str
    path: tuple[Arrow, ...] = ()

    @property
    def shown_as(self) -> str | None:
        """The name that a JSON path gets in the answer, None if PostgreSQL's own will do."""
        if not self.path:
            return None
        keys = [arrow.key for arrow in self.path if not arrow.is_index]
        return keys[-1] if keys else self.name


@dataclass(frozen=True)
class Selected:
    """A column of the answer; `field.name` is `*` for all."""

    field: Field
    alias: str | None = None
    cast: str | None = None


@dataclass(frozen=True)
class Embedded:
    """A related table in the answer."""

    relation: str
    alias: str | None
    hint: str | None
    join: Join | None
    is_spread: bool
    columns: tuple[Selected, ...]
    embedded: tuple[Embedded, ...]

    @property
    def name(self) -> str:
        return self.alias or self.relation


@dataclass(frozen=True)
class Operation:
    operator: str
    value: str | tuple[str, ...] = ""
    """A list for `in`."""
    quantifier: Quantifier | None = None
    language: str | None = None
    """Of a full-text search."""


@dataclass(frozen=True)
class Condition:
    field: Field
    operation: Operation
    negated: bool = False


@dataclass(frozen=True)
class Group:
    any_of: bool
    members: tuple[Condition | Group, ...]
    negated: bool = False


@dataclass(frozen=True)
class Order:
    field: Field
    relation: str | None = None
    """The embedded table whose field this is."""
    direction: str = ""
    nulls: str = ""


@dataclass
class Level:
    """What is asked of one table: the root, or one that is embedded."""

    where: list[Condition | Group] = field(default_factory=list)
    order: list[Order] = field(default_factory=list)
    limit: int | None = None
    offset: int = 0


@dataclass
class Query:
    columns: tuple[Selected, ...]
    embedded: tuple[Embedded, ...]
    levels: dict[tuple[str, ...], Level] = field(default_factory=dict)
    """By the path of names to the embedded table; () is the root."""
    on_conflict: tuple[str, ...] = ()
    given_columns: tuple[str, ...] | None = None
    """What `columns=` names: which keys of the body count."""

    def level(self, path: tuple[str, ...]) -> Level:
        return self.levels.setdefault(path, Level())
