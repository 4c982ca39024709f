"""`reconcile --fix` as a scheduled AWS Lambda: the handler, which is not behind a gateway and shares the functions' zip."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from wpp.config import config_from
from wpp.faas import logs
from wpp.operating.reconciler import SHORTEST_DEADLINE, Reconciler
from wpp.runtime import Runtime, invocation_log

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wpp.faas.aws_lambda import Context

_KEPT_MILLISECONDS = 60_000  # for what was begun


def handler(event: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """`event` may have `rate`, in numbers per second, and `after`, the row to go on after. Returns counts, and where it ended.

    Each number with findings is a line of the log. Raises if no page of rows can be read.
    """
    config = config_from()
    logs.set_up(config.known_secrets)
    log = invocation_log("reconcile", context.aws_request_id, None)
    runtime = Runtime(config._replace(deadline_seconds=max(config.deadline_seconds, SHORTEST_DEADLINE)))
    counts = Counter(numbers=0, with_findings=0, left=0)
    try:
        reconciler = Reconciler(
            runtime,
            fix=True,
            rate=float(event.get("rate", 5)),
            is_over=lambda: context.get_remaining_time_in_millis() < _KEPT_MILLISECONDS,
        )
        for outcome in reconciler.outcomes(event.get("after")):
            counts.update(numbers=1, with_findings=bool(outcome.found), left=bool(outcome.left))
            if outcome.found:
                fields = {
                    "integration": outcome.row.id,
                    "organization": outcome.row.organization_id,
                    "findings": [finding.kind for finding in outcome.found],
                    "left": [f"{finding.kind}: {finding.text}" for finding in outcome.left],
                    "problems": outcome.problems,
                }
                log.warning("number not in order" if outcome.left else "number put in order", fields=fields)
        summary = {**counts, "is_complete": reconciler.is_complete, "after": reconciler.after}
        log.info("reconciled" if reconciler.is_complete else "ran out of time", fields=summary)
        return summary
    finally:
        runtime.close()
