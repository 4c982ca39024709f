"""`make check-supabase`: what the functions need of a Supabase project, looked at in a real one, with a plain report.

SUPABASE_URL and SUPABASE_SERVICE_ROLE_KEY name it; SUPABASE_ANON_KEY is checked too. With ACCESS_TOKEN, a member's, it looks
whether members can read the credentials. With ORGANIZATION_ID, of a test organization, it tries a whole claim cycle on a row of
its own and deletes it; without, it changes nothing. The platform is never called.

The exit status is 0 if all is well, 1 with findings, 2 if the check itself is not configured.
"""

from __future__ import annotations

import os
import sys
import uuid
from typing import TYPE_CHECKING, NamedTuple

from deploy.supabase_checks import cycle, keys, readers, schema
from deploy.supabase_checks.project import Finding, Outcome, Project
from deploy.supabase_checks.rows import Survey
from wpp.clock import Clock, Deadline
from wpp.config import Config, config_from
from wpp.errors import NotConfigured, UpstreamError, WppError
from wpp.http.transport import Transport
from wpp.http.upstream import Upstream
from wpp.platform.token import is_header_text
from wpp.redaction import Redaction, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_LIMIT = 300.0  # seconds for the whole check
_SUPABASE = ("SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_ANON_KEY")
_REMEDY = "see that SUPABASE_URL and the keys are of one project, and that it is up"


class Target(NamedTuple):
    """Which project to check, and how far."""

    config: Config
    has_anon_key: bool
    access_token: str | None
    organization_id: str | None


def target_from(env: Mapping[str, str]) -> Target:
    """Raises NotConfigured, naming what is missing or wrong."""
    given = {name: env[name] for name in _SUPABASE if env.get(name, "").strip()}
    # The rest of the functions' configuration is not needed here: the platform is not called.
    config = config_from({**given, "WPP_SECRET": "not-used"})
    has_anon_key = "SUPABASE_ANON_KEY" in given
    access_token = env.get("ACCESS_TOKEN", "").strip() or None
    organization_id = env.get("ORGANIZATION_ID", "").strip() or None
    if access_token is not None and not has_anon_key:
        raise NotConfigured("Not configured: ACCESS_TOKEN needs SUPABASE_ANON_KEY beside it, as in a browser")
    if access_token is not None and not is_header_text(access_token):
        raise NotConfigured("Not configured: ACCESS_TOKEN has characters that no token has")
    if organization_id is not None:
        organization_id = _canonical(organization_id)
    return Target(config, has_anon_key, access_token, organization_id)


def check(target: Target, clock: Clock | None = None) -> dict[str, Outcome]:
    """What each check found, in the order of the report."""
    clock, transport = clock or Clock(), Transport()
    project = Project(
        target.config,
        Upstream(transport, Deadline(_LIMIT, clock), clock, "check-supabase"),
        has_anon_key=target.has_anon_key,
        access_token=target.access_token,
        organization_id=target.organization_id,
    )
    outcomes: dict[str, Outcome] = {}
    try:
        for name, attempt in _checks(project).items():
            try:
                outcomes[name] = attempt()
            except WppError as error:
                outcomes[name] = Outcome("", (Finding(str(error), _REMEDY),))
                if len(outcomes) == 1 and isinstance(error, UpstreamError) and error.upstream_status is None:
                    break  # nothing was reached, and every other check would report the same
        return outcomes
    finally:
        transport.close()


def _checks(project: Project) -> dict[str, Callable[[], Outcome]]:
    survey = Survey(project)
    return {
        "service key": lambda: keys.service_key(project),
        "anon key": lambda: keys.anon_key(project),
        "signing keys": lambda: keys.signing_keys(project),
        "version": lambda: schema.version(project),
        "columns": lambda: schema.columns(project),
        "relations": lambda: schema.relations(project),
        "rows": survey.readable,
        "primary rows": survey.primaries,
        "claims": survey.claims,
        "anybody": lambda: readers.anybody(project),
        "member": lambda: readers.member(project),
        "claim cycle": lambda: cycle.claim_cycle(project),
    }


def report(outcomes: Mapping[str, Outcome]) -> Iterator[str]:
    """A line for each finding, and for each check without one."""
    for name, outcome in outcomes.items():
        for problem, remedy in outcome.findings:
            yield f"FAILS    {name}: {problem} -> {remedy}"
        if not outcome.findings:
            yield f"{'holds  ' if outcome.was_checked else 'skipped'}  {name}: {outcome.summary}"


def main() -> int:
    try:
        target = target_from(os.environ)
    except NotConfigured as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    outcomes = check(target)
    # What comes from the tables is shown, names of columns for example, and nobody knows what that is.
    redaction = Redaction([*target.config.known_secrets(), target.access_token or ""])
    for line in report(outcomes):
        print(one_line(redaction.text(line)))
    return 1 if any(outcome.findings for outcome in outcomes.values()) else 0


def _canonical(organization_id: str) -> str:
    try:
        return str(uuid.UUID(organization_id))
    except ValueError:
        raise NotConfigured("Not configured: ORGANIZATION_ID must be a UUID") from None


if __name__ == "__main__":
    sys.exit(main())
