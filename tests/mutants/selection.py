"""Which tests are of use: those that concern what is mutated, in one process, within a few seconds."""

from __future__ import annotations

PATHS = ("tests/wpp", "tests/functions", "tests/deploy/test_server.py", "tests/deploy/test_metrics.py")
_LEFT_OUT = (
    # hundreds of calls as one test
    "tests/functions/test_fault_matrix.py",
    # processes are killed, or get a configuration or commands of their own
    "tests/functions/test_crashes.py",
    "tests/functions/test_restart_interrupted.py",
    "tests/functions/test_openapi.py",
    "tests/wpp/cli/",
    "tests/wpp/faas/test_imports.py",
    "tests/wpp/http/test_outbound.py::test_only_the_configured_hosts_are_called",
    "tests/wpp/operating/test_crashes.py",
    "tests/deploy/test_metrics.py::test_a_call_that_the_server_ends",
    "tests/deploy/test_metrics.py::test_the_metrics_agree",
    "tests/deploy/test_metrics.py::test_who_waits",
    "tests/deploy/test_server.py::test_a_reload",
    "tests/deploy/test_server.py::test_a_request_that_never_ends",
    # about the limits of gunicorn
    "tests/functions/test_input.py::test_another_method_reaches_nothing[post",
    "tests/functions/test_tokens.py::test_a_huge_token_is_refused",
)


def is_selected(node_id: str) -> bool:
    return not node_id.startswith(_LEFT_OUT)
