"""Tables to take away: what is shown as CSV."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt


def csv_bytes(columns: Mapping[str, npt.ArrayLike]) -> bytes:
    """Columns of equal length as CSV with a header line, UTF-8. Raises ValueError where there is nothing yet."""
    arrays = {name: np.asarray(values).ravel() for name, values in columns.items()}
    lengths = {len(values) for values in arrays.values()}
    if len(lengths) != 1 or lengths == {0}:
        raise ValueError("there is nothing to download yet; wait until something is shown")
    lines = [",".join(f'"{name}"' if "," in name else name for name in arrays)]
    text = [[_word(value) for value in values.tolist()] for values in arrays.values()]
    lines += [",".join(row) for row in zip(*text, strict=True)]
    return ("\n".join(lines) + "\n").encode()


def _word(value: object) -> str:
    """A number with nine digits, a text in quotes where it must be; nothing for what is not a number."""
    if isinstance(value, float):
        return "" if value != value else f"{value:.9g}"
    text = str(value)
    return f'"{text}"' if "," in text else text
