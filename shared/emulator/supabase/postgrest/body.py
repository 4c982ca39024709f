"""The body of a request that writes: which columns it has, and the text that PostgreSQL reads its values from."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from emulator.supabase.postgrest.errors import invalid_body, unknown_column

if TYPE_CHECKING:
    from emulator.messages import Request
    from emulator.supabase.postgrest.schema import Table


@dataclass(frozen=True)
class Payload:
    text: str
    """JSON, as it came: numbers keep all their digits."""
    is_object: bool
    columns: tuple[str, ...]
    applies_defaults: bool = False
    """Whether a key that is missing means the column's default, not null."""


def read_payload(request: Request, table: Table, given: tuple[str, ...] | None, *, applies_defaults: bool) -> Payload:
    """`given` is what `columns=` names. Raises PostgrestError."""
    text, document = _document(request)
    names = _keys(document) if given is None else dict.fromkeys(given)
    if not isinstance(document, dict | list):
        text, document = "[]", []
    for name in names:
        if name not in table.columns:
            raise unknown_column(table.name, name)
    return Payload(text, isinstance(document, dict), tuple(names), applies_defaults)


def _document(request: Request) -> tuple[str, Any]:
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    try:
        text = request.body.decode()
        if kind == "text/csv":
            document: Any = _csv_rows(text)
            return json.dumps(document), document
        if kind == "application/x-www-form-urlencoded":
            document = dict(parse_qsl(text, keep_blank_values=True))
            return json.dumps(document), document
        if kind not in ("application/json", "application/vnd.pgrst.object+json", "application/vnd.pgrst.array+json"):
            raise invalid_body(f"Content-Type not acceptable: {kind}")
        return text, json.loads(text, parse_int=str, parse_constant=_refused)
    except (ValueError, RecursionError) as error:
        raise invalid_body("Empty or invalid json") from error


def _refused(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")  # Python's own reading lets it pass


def _csv_rows(text: str) -> list[dict[str, str | None]]:
    rows = csv.DictReader(io.StringIO(text))
    return [{name: None if value == "NULL" else value for name, value in row.items()} for row in rows]


def _keys(document: Any) -> dict[str, None]:
    if isinstance(document, dict):
        return dict.fromkeys(document)
    if not isinstance(document, list) or not document:
        return {}
    if not all(isinstance(row, dict) and row.keys() == document[0].keys() for row in document):
        raise invalid_body("All object keys must match")
    return dict.fromkeys(document[0])
