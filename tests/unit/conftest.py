"""What several unit tests are given."""

from __future__ import annotations

import pytest
from unit.fake_site import serving


@pytest.fixture
def server():
    """A web server on this machine; ``server.server_port`` is where."""
    with serving() as here:
        yield here
