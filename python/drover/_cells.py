"""What values, rows and frames of Python, numpy and pandas are as cells. Neither numpy nor pandas is
imported: what they give is known by what it can do."""

from __future__ import annotations

import math
from typing import Any, Iterable, List, Mapping, Optional, Sequence, Tuple

from .errors import InvalidArgument

_MISSING = ("NAType", "NaTType")


def is_frame(rows: Any) -> bool:
    """A data frame of pandas."""
    return hasattr(rows, "columns") and hasattr(rows, "iloc")


def frame_columns(frame: Any) -> List[Tuple[str, List[Any]]]:
    """A frame's columns in their order, with Python values."""
    return [(str(name), frame.iloc[:, i].tolist()) for i, name in enumerate(frame.columns)]


def named(row: Any) -> Optional[Mapping[str, Any]]:
    """A row as names and values: a dictionary, a Series of pandas, a named tuple. None: it has no names."""
    if type(row) is list:
        return None
    if isinstance(row, Mapping):
        return row
    if hasattr(row, "items") and hasattr(row, "index"):
        return dict(row.items())
    if isinstance(row, tuple) and hasattr(row, "_asdict"):
        fields: Mapping[str, Any] = row._asdict()
        return fields
    return None


def is_listed(row: Any) -> bool:
    """A row whose values have an order but no names."""
    return type(row) is list or hasattr(row, "__iter__") and getattr(row, "shape", None) != () \
        and not isinstance(row, (str, bytes, bytearray, set, frozenset)) and named(row) is None


def plain(value: Any) -> Any:
    """A cell as Python's own None, bool, int, float, text or bytes. Missing values of floats and of pandas
    (NaN, NA, NaT) are None. TypeError or ValueError says what is wrong."""
    if type(value) is float:  # most are
        return value if value == value else None
    if not isinstance(value, (int, float, str)) and hasattr(value, "item"):
        if getattr(getattr(value, "dtype", None), "kind", "") in ("M", "m"):
            raise TypeError("a number, a text, a bool or None is wanted, not a time of numpy")
        value = value.item()
    if value is None or isinstance(value, (bool, bytes)):
        return value
    if isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 63 else float(value)
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= letter < "\ue000" for letter in value):
            raise ValueError("the text is not Unicode: it has half of a surrogate pair")
        return value
    if type(value).__name__ in _MISSING:
        return None
    if hasattr(value, "__float__"):
        return plain(float(value))
    raise TypeError(f"a number, a text, a bool or None is wanted, not {type(value).__name__}")


def cells(values: Iterable[Any], where: str, names: Optional[Sequence[str]] = None) -> List[Any]:
    """The same for each value. InvalidArgument names the one at fault: where.name, or where[number]."""
    done: List[Any] = []
    try:
        for value in values:
            done.append(plain(value))
    except (TypeError, ValueError, OverflowError) as cause:
        at = len(done)
        raise InvalidArgument(f"{where}.{names[at]}: {cause}" if names else f"{where}[{at}]: {cause}") from None
    return done
