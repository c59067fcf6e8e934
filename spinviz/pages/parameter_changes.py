"""What was changed while a run was recorded, told from the parameters of its frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

PULSES = {"heat_pulse": "heat pulse", "field_pulse": "field pulse"}
EDITS = "edits"  # of the spins by hand, in words
MOST_TOLD = 3  # times of one parameter; of more only their number, the first and the last


def changes_told(times: np.ndarray, parameters: Mapping[str, np.ndarray]) -> str:
    """One sentence on what changed at which times (F,), "" where nothing did.

    ``parameters``: name -> (F,) or (F, 3) numbers, NaN where there was none, or texts (F,). A change is told at the first
    frame that has it; a pulse at the first frame that it acts on, edits at the first frame after them.
    """
    told = [f"{name} {_when(times[at])}" for name, at in _changes(parameters) if len(at)]
    if not told:
        return ""
    return f"Changed during the run: {', '.join(told)}. This command makes the beginning."


def _changes(parameters: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """Every parameter, or component of one, and the indices of the frames at which it changed."""
    for name, values in parameters.items():
        if name.endswith("_sites"):
            continue
        if name == EDITS:
            yield from _edits(values)
            continue
        rows = values.reshape(len(values), -1)
        same = rows[1:] == rows[:-1]
        if rows.dtype.kind == "f":
            same |= np.isnan(rows[1:]) & np.isnan(rows[:-1])
        if name in PULSES:
            began = np.concatenate([[True], ~same.all(axis=1)]) & np.isfinite(rows).all(axis=1)
            yield PULSES[name], np.flatnonzero(began)
            continue
        parts = [name] if values.ndim == 1 else [f"{name}_{axis}" for axis in "xyz"[: rows.shape[1]]]
        for part, unchanged in zip(parts, same.T, strict=True):
            yield part, 1 + np.flatnonzero(~unchanged)


def _edits(words: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Every kind of edit ("flip by hand") and the frames that tell it."""
    told = [set(text.split(", ")) for text in words.tolist()]
    for word in sorted(set().union(*told) - {""}):
        yield f"{word} by hand", np.flatnonzero([word in some for some in told])


def _when(times: np.ndarray) -> str:
    if len(times) <= MOST_TOLD:
        return "at t = " + ", ".join(f"{time:.4g}" for time in times)
    return f"{len(times)} times from t = {times[0]:.4g} to {times[-1]:.4g}"
