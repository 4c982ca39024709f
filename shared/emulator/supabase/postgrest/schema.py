"""What PostgREST knows of the database ("schema cache"): tables, columns, keys, and how tables are related."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import psycopg

SCHEMA = "public"
Cardinality = Literal["many-to-one", "one-to-many", "one-to-one", "many-to-many"]

_COLUMNS = """
select c.relname, c.relkind in ('r', 'p', 'f'), a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
  pg_get_expr(d.adbin, d.adrelid),
  coalesce(array_agg(e.enumlabel order by e.enumsortorder) filter (where e.oid is not null), '{}')
from pg_class c
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
left join pg_enum e on e.enumtypid = a.atttypid
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'f', 'v', 'm')
group by c.oid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, d.adbin, d.adrelid
order by c.relname, a.attnum
"""
_KEYS = """
select k.contype::text, k.conname, c.relname, f.relname,
  array(select a.attname from unnest(k.conkey) with ordinality n(num, i)
    join pg_attribute a on a.attrelid = k.conrelid and a.attnum = n.num order by n.i),
  array(select a.attname from unnest(k.confkey) with ordinality n(num, i)
    join pg_attribute a on a.attrelid = k.confrelid and a.attnum = n.num order by n.i)
from pg_constraint k
join pg_class c on c.oid = k.conrelid and c.relnamespace = 'public'::regnamespace
left join pg_class f on f.oid = k.confrelid
where k.contype in ('p', 'u') or k.contype = 'f' and f.relnamespace = 'public'::regnamespace
order by c.relname, k.conname
"""


@dataclass(frozen=True)
class Column:
    name: str
    type: str
    """As PostgreSQL's format_type names it."""
    is_required: bool
    default: str | None
    labels: tuple[str, ...] = ()
    """Of an enum."""


@dataclass
class Table:
    name: str
    is_view: bool
    columns: dict[str, Column] = field(default_factory=dict)
    primary_key: tuple[str, ...] = ()
    unique_keys: list[tuple[str, ...]] = field(default_factory=list)


@dataclass(frozen=True)
class Junction:
    """The table between two tables that are related many to many."""

    table: str
    constraints: tuple[str, str]
    source: tuple[tuple[str, str], ...]
    """(column of the relation's table, column of the junction), and the same for its foreign table."""
    target: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Relationship:
    constraint: str
    table: str
    foreign_table: str
    cardinality: Cardinality
    columns: tuple[tuple[str, str], ...]
    """(column of the table, column of the foreign table)."""
    junction: Junction | None = None

    @property
    def is_to_one(self) -> bool:
        return self.cardinality in ("many-to-one", "one-to-one")

    @property
    def hint(self) -> str:
        """What tells it from others between the same tables."""
        return self.junction.table if self.junction else self.constraint


@dataclass(frozen=True)
class ForeignKey:
    constraint: str
    table: str
    foreign_table: str
    columns: tuple[tuple[str, str], ...]


@dataclass
class SchemaCache:
    tables: dict[str, Table]
    foreign_keys: list[ForeignKey]
    relationships: list[Relationship]

    def of(self, table: str) -> list[Relationship]:
        return [relationship for relationship in self.relationships if relationship.table == table]


def read_schema(connection: psycopg.Connection[tuple[Any, ...]]) -> SchemaCache:
    tables: dict[str, Table] = {}
    for name, is_table, column, kind, required, default, labels in connection.execute(_COLUMNS):
        table = tables.setdefault(name, Table(name, not is_table))
        table.columns[column] = Column(column, kind, required, default, tuple(labels))
    keys: list[ForeignKey] = []
    for kind, constraint, name, foreign, columns, foreign_columns in connection.execute(_KEYS):
        if kind == "f":
            keys.append(ForeignKey(constraint, name, foreign, tuple(zip(columns, foreign_columns, strict=True))))
        else:
            tables[name].unique_keys.append(tuple(columns))
        if kind == "p":
            tables[name].primary_key = tuple(columns)
    direct = [relationship for key in keys for relationship in _both_ways(key, tables[key.table])]
    return SchemaCache(tables, keys, direct + _many_to_many(keys, tables))


def _both_ways(key: ForeignKey, table: Table) -> list[Relationship]:
    own = {column for column, _ in key.columns}
    is_unique = any(set(unique) == own for unique in table.unique_keys)
    there: Cardinality = "one-to-one" if is_unique else "many-to-one"
    back: Cardinality = "one-to-one" if is_unique else "one-to-many"
    turned = tuple((foreign, column) for column, foreign in key.columns)
    return [
        Relationship(key.constraint, key.table, key.foreign_table, there, key.columns),
        Relationship(key.constraint, key.foreign_table, key.table, back, turned),
    ]


def _many_to_many(keys: list[ForeignKey], tables: dict[str, Table]) -> list[Relationship]:
    """Two foreign keys of one table, whose columns are part of its primary key, relate the tables that they name."""
    found = []
    for first in keys:
        for second in keys:
            if first is second or first.table != second.table:
                continue
            columns = {column for column, _ in first.columns + second.columns}
            if not columns <= set(tables[first.table].primary_key):
                continue
            source, target = (tuple((there, here) for here, there in key.columns) for key in (first, second))
            junction = Junction(first.table, (first.constraint, second.constraint), source, target)
            found.append(
                Relationship(first.constraint, first.foreign_table, second.foreign_table, "many-to-many", (), junction)
            )
    return found
