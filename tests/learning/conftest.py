"""What the tests of learned forces share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.learning import kernels


@pytest.fixture(scope="module")
def coarse_momenta() -> Iterator[None]:
    """Kernels of 12 lattice constants need no finer mesh."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "MESH", 48)
        yield
