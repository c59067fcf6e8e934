"""No test of this folder has a document: what is scheduled happens at once."""

from __future__ import annotations

import pytest
from bokeh.io.doc import _PATCHED_CURDOCS


@pytest.fixture(autouse=True)
def no_document() -> None:
    """Bokeh leaves its patch behind, for all threads, where a callback of a page failed, in a server of an earlier test."""
    _PATCHED_CURDOCS.clear()
