"""Which recordings there are: the shipped ones, and those in the folder of ``spinviz serve --recordings``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from spinviz.serving.limits import FOLDER_VARIABLE

SHIPPED = Path(__file__).resolve().parents[2] / "assets" / "gallery"
FIRST = "skyrmion-quench"  # what the gallery opens with
MOST_OFFERED = 200


def offered(recordings: Path | None) -> dict[str, Path]:
    """Name -> file of the shipped recordings and of those in ``recordings``, newest first, at most MOST_OFFERED."""
    own = sorted(recordings.glob("*.h5"), key=lambda path: -path.stat().st_mtime) if recordings else []
    named = {f"own: {path.stem}": path for path in own[:MOST_OFFERED]}
    shipped = sorted(SHIPPED.glob("*.h5"), key=lambda path: (path.stem != FIRST, path.stem))
    return {path.stem.replace("-", " "): path for path in shipped} | named


def recordings_folder(variables: Mapping[str, str] = os.environ) -> Path | None:
    """The folder of ``spinviz serve --recordings``. Raises ValueError when it is not there."""
    wanted = variables.get(FOLDER_VARIABLE, "")
    if wanted and not Path(wanted).is_dir():
        raise ValueError(f"{FOLDER_VARIABLE} must name a folder with recordings (.h5), got {wanted!r}")
    return Path(wanted) if wanted else None
