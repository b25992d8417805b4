"""What the tests of the keeper stand on."""

from __future__ import annotations

import pytest

from tests.services.keeper_scene import Scene


@pytest.fixture
def scene() -> Scene:
    return Scene()
