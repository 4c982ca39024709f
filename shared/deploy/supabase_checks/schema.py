"""PostgREST's version, and the tables, columns, types and relations that the functions work with."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any

from deploy.supabase_checks.project import TABLE, Finding, Outcome
from wpp.errors import NotConfigured
from wpp.supabase.rows import MESSENGER_TYPE, PROVIDER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from deploy.supabase_checks.project import Project

_OLDEST_MAJOR = 13  # the functions were held against 13.0 and 14.17
_VERSION = re.compile(r"(?:postgrest/)?(\d+)\.[\w.-]+", re.IGNORECASE | re.ASCII)
_UUID, _BOOLEAN, _JSONB, _TIME = "uuid", "boolean", "jsonb", "timestamp with time zone"
_TEXT = "text"
_ALSO_TEXT = ("character varying", "character", "citext")
_NEEDED = {
    "organizations": {"id": _UUID},
    "profiles": {"id": _UUID, "organization_id": _UUID},
    TABLE: {
        "id": _UUID,
        "organization_id": _UUID,
        "messenger_type": _TEXT,
        "provider": _TEXT,
        "name": _TEXT,
        "is_active": _BOOLEAN,
        "is_primary": _BOOLEAN,
        "webhook_key": _TEXT,
        "settings": _JSONB,
        "created_at": _TIME,
        "updated_at": _TIME,
    },
}
_FILLED_BY_POSTGRES = ("created_at", "updated_at")
_WORDS = {"messenger_type": MESSENGER_TYPE, "provider": PROVIDER}
_RELATED = (
    ("profiles", "organizations", "organization_id"),
    (TABLE, "organizations", "organization_id"),
)


def version(project: Project) -> Outcome:
    response, description = project.description
    info = description.get("info")
    described = info.get("version") if isinstance(info, dict) else None
    for text in (response.headers.get("server"), described):
        match = _VERSION.match(text) if isinstance(text, str) else None
        if match is not None:
            found = match[0].removeprefix("postgrest/")
            if int(match[1]) >= _OLDEST_MAJOR:
                return Outcome(f"PostgREST {found}")
            problem = f"PostgREST {found} is older than {_OLDEST_MAJOR}, the oldest that the functions were tried with"
            return Outcome(found, (Finding(problem, "upgrade it to 14"),))
    return Outcome("neither the Server header nor the description of the tables names it", was_checked=False)


def columns(project: Project) -> Outcome:
    _, description = project.description
    definitions = description["definitions"]
    findings: list[Finding] = []
    for table, needed in _NEEDED.items():
        described = definitions.get(table)
        properties = described.get("properties") if isinstance(described, dict) else None
        if not isinstance(properties, dict):
            findings.append(
                Finding(
                    f"the service key sees no table {table}",
                    "create it in the schema that PostgREST exposes first, and grant it to service_role",
                )
            )
            continue
        for column, kind in needed.items():
            findings += _column_findings(f"{table}.{column}", properties.get(column), kind)
        if table == TABLE:
            findings += _insert_findings(described, properties)
    return Outcome("all are there, with the types that the functions need", tuple(findings))


def _column_findings(name: str, found: Any, kind: str) -> Iterator[Finding]:
    column = name.rpartition(".")[2]
    if not isinstance(found, dict):
        yield Finding(f"there is no column {name}", f"add it as {kind}")
        return
    labels = found.get("enum")
    if kind == _TEXT and isinstance(labels, list):  # an enum takes the same words
        word = _WORDS.get(column)
        if word is not None and word not in labels:
            yield Finding(f"the enum of {name} has no value '{word}'", f"alter type … add value '{word}'")
        return
    described = str(found.get("format")).partition("(")[0]
    if described != kind and not (kind == _TEXT and described in _ALSO_TEXT):
        yield Finding(f"{name} is {described}, not {kind}", f"alter table … alter column {column} type {kind}")


def _insert_findings(described: Mapping[str, Any], properties: Mapping[str, Any]) -> Iterator[Finding]:
    """What would refuse the row that the functions insert, or let two of them insert one each."""
    identifier = properties.get("id")
    if isinstance(identifier, dict) and "<pk" not in str(identifier.get("description")):
        yield Finding(
            f"{TABLE}.id is not the primary key, so two calls at once could make two clients",
            f"alter table {TABLE} add primary key (id)",
        )
    required = described.get("required")
    for column in required if isinstance(required, list) else []:
        is_filled = column in _NEEDED[TABLE] and column not in _FILLED_BY_POSTGRES
        found = properties.get(column)
        has_default = isinstance(found, dict) and "default" in found
        if not is_filled and not has_default:
            yield Finding(
                f"{TABLE}.{column} is NOT NULL without a default, and the functions do not fill it",
                f"alter table {TABLE} alter column {column} set default …",
            )


def relations(project: Project) -> Outcome:
    """Asks for what the functions ask for at every call, for a user who does not exist."""
    try:
        project.rows.of_user(str(uuid.uuid4()))
    except NotConfigured as error:
        if "PGRST201" in str(error):
            return Outcome("", (_ambiguous(),))
        if "PGRST200" in str(error):
            return Outcome("", tuple(_missing(project)))
        raise
    return Outcome("profiles, organizations and their rows are read in one request")


def _ambiguous() -> Finding:
    return Finding(
        "PostgREST finds several relations between profiles, organizations and their rows (PGRST201)",
        f"leave one foreign key from profiles and one from {TABLE} to organizations, on organization_id",
    )


def _missing(project: Project) -> Iterator[Finding]:
    for table, other, column in _RELATED:
        try:
            project.table(table).read({"select": f"{other}(id)", "limit": "1"})
        except NotConfigured as error:
            if "PGRST200" not in str(error):
                raise
            yield Finding(
                f"{table} has no foreign key to {other} that PostgREST knows of (PGRST200)",
                f"alter table {table} add foreign key ({column}) references {other} (id); notify pgrst, 'reload schema'",
            )
