"""`make check-supabase` in this process: over a stack with tables of its own, and on a clock whose sleeps take no time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from deploy.check_supabase import check, target_from
from emulator.supabase.app import DEMO_EMAIL, DEMO_ORGANIZATION
from wpp.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploy.supabase_checks.project import Outcome
    from emulator.stack import Stack

CREDENTIALS = {"wppApiKey": "key_0123456789abcdef", "wppAccountNumber": "client_1"}


def outcomes(stack: Stack, asleep: Callable[[float], None] = lambda _: None, /, **env: str) -> dict[str, Outcome]:
    """Of every check. `asleep` is called with the seconds of each sleep, in its place."""
    slept = [0.0]

    def sleep(seconds: float) -> None:
        slept[0] += seconds
        asleep(seconds)

    clock = Clock(time.time, lambda: time.monotonic() + slept[0], sleep)
    return check(target_from(stack.environment() | env), clock)


def problems(stack: Stack, asleep: Callable[[float], None] = lambda _: None, /, **env: str) -> dict[str, list[str]]:
    """What was found, by check; nothing for a check that found nothing."""
    found = outcomes(stack, asleep, **env)
    return {name: [f.problem for f in outcome.findings] for name, outcome in found.items() if outcome.findings}


def everything(stack: Stack) -> dict[str, str]:
    """The environment that has all the checks made."""
    return {"ACCESS_TOKEN": stack.supabase.sign_in(DEMO_EMAIL), "ORGANIZATION_ID": DEMO_ORGANIZATION}
