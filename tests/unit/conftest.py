"""What the tests of resources share: a root under every sh that resources promise to run under."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.root import SHELLS, Root, need_shell


@pytest.fixture(params=SHELLS, ids=" ".join)
def shell(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return need_shell(request.param)


@pytest.fixture
def root(tmp_path: Path, shell: tuple[str, ...]) -> Root:
    return Root.make(tmp_path, shell)
