"""How the scripts write figures and tables: plain lines that nothing in them can break. Asks nobody."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def shown(value: object, longest: int = 200) -> str:
    """Write a value in one line; what is unknown or empty is a dash."""
    text = "" if value is None else str(value)
    text = "".join(character if character.isprintable() else "?" for character in text)
    return (text if len(text) <= longest else text[: longest - 3] + "...") or "-"


def duration(seconds: float | None) -> str:
    """Write seconds as people say them: `12.5s`, `4m10s`, `1h02m`, `3d04h`."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{max(0.0, seconds):.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02d}h"
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[str] = ()) -> list[str]:
    """Return the lines of a table, its heading first; the columns in `right` are numbers."""
    widths = [max(len(row[index]) for row in [columns, *rows]) for index in range(len(columns))]
    return [_line(columns, row, widths, right) for row in [columns, *rows]]


def _line(columns: Sequence[str], row: Sequence[str], widths: Sequence[int], right: Collection[str]) -> str:
    cells = (
        text.rjust(width) if name in right else text.ljust(width)
        for name, text, width in zip(columns, row, widths, strict=True)
    )
    return "  ".join(cells).rstrip()
