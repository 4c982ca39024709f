from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from tests.support.platform_client import PlatformClient

if TYPE_CHECKING:
    from emulator.stack import Stack


@pytest.fixture
def client(stack: Stack) -> PlatformClient:
    """Of the local platform, with a session that shows a QR at once."""
    stack.platform.settings.qr_delay = 0
    return PlatformClient(stack, str(uuid.uuid4()))
