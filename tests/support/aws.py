"""Secrets Manager and the Parameter Store of AWS, served by moto.

moto and boto3 are imported where they are used: that takes a second, and every process collects these tests.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

REGION = "eu-central-1"


@contextmanager
def aws_services() -> Iterator[dict[str, str]]:
    """On a port of their own. Gives the environment that leads boto3 there."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        yield {"AWS_ENDPOINT_URL": f"http://{host}:{port}", **credentials}
    finally:
        server.stop()


def aws_client(service: str) -> Any:
    import boto3

    return boto3.client(service, REGION)
