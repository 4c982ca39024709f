"""The WhatsApp connections of organizations, for operators and their scripts.

Configured by the same environment variables as the functions. Credentials are shown masked; `qr` shows the QR it is asked for.

exit codes:
  0    done; `reconcile`: nothing is left to do
  1    Supabase or WPP Platform refused it, or this program failed
  2    wrong usage or configuration
  3    not found: no such organization or number, no client, or no QR yet
  4    Supabase or WPP Platform cannot be reached, or took too long: trying again may help
  5    done as far as possible. `reconcile`: findings are left; `retire`: a session could not be stopped
  130  interrupted; `reconcile` prints where to go on
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

from wpp.cli.arguments import parser
from wpp.cli.result import FAILED, INTERRUPTED, NOT_FOUND, TRY_AGAIN, USAGE, NotFound, WrongUsage
from wpp.config import config_from, log_level
from wpp.errors import NotConfigured, OrganizationNotFound, WppError
from wpp.faas import logs
from wpp.redaction import one_line
from wpp.runtime import Runtime

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from wpp.cli.result import Run

_SPARE = 8.0  # seconds on top of the wait for a QR: for finding the client and starting its session
_LOG = logging.getLogger("wpp")


def main(arguments: Sequence[str]) -> int:
    """Runs one command and returns the exit code. Raises SystemExit if the arguments are wrong."""
    options = parser(__doc__ or "").parse_args(arguments)
    logs.set_up(level=_level(options))
    try:
        return _run(options)
    except (NotConfigured, WrongUsage) as error:
        return _failure(error, USAGE)
    except (NotFound, OrganizationNotFound) as error:
        return _failure(error, NOT_FOUND)
    except WppError as error:
        return _failure(error, TRY_AGAIN if error.retryable else FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader has closed the pipe: print nothing more, not even while Python exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:  # noqa: BLE001 - its text and its traceback may hold anything
        _LOG.critical("an unforeseen error", exc_info=error)
        return FAILED


def _run(options: argparse.Namespace) -> int:
    config = config_from()
    logs.set_up(config.known_secrets, level=_level(options))
    wait = getattr(options, "wait", 0.0)
    seconds = max(config.deadline_seconds, wait + _SPARE, options.least_seconds)
    runtime = Runtime(config._replace(deadline_seconds=seconds, qr_wait_seconds=wait))
    run: Run = options.run
    try:
        code = run(runtime, options)
    finally:
        runtime.close()
    sys.stdout.flush()
    return code


def _level(options: argparse.Namespace) -> int:
    return log_level() if options.verbose else logging.CRITICAL


def _failure(error: Exception, code: int) -> int:
    print(f"error: {one_line(str(error))}", file=sys.stderr)
    return code
