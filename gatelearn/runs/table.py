"""A small table: rows of results, without pandas."""

from __future__ import annotations

import csv
import html
import io
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, overload

import numpy as np

from .._files import atomic_write
from ..errors import UserError, require


class Table:
    """Rows with named columns.

    Parameters
    ----------
    rows : iterable of dict
        A missing entry is None.
    columns : list of str, optional
        Names in order. Default: as they first occur in the rows.

    Raises
    ------
    ValueError
        If a row has a column that is not in `columns`.

    Examples
    --------
    >>> table = Table([{"method": "vanilla", "score": 0.97125, "open": 1.0}])
    >>> table.append(method="one-shot", score=0.98, open=0.3)
    >>> table["score"]
    [0.97125, 0.98]
    >>> table.where(method="one-shot")[0]["open"]
    0.3
    >>> print(table)
    method    score   open
    vanilla   0.971  1.000
    one-shot  0.980  0.300
    """

    def __init__(self, rows: Iterable[dict[str, Any]] = (), columns: list[str] | None = None):
        rows = list(rows)
        if columns is None:
            columns = list(dict.fromkeys(name for row in rows for name in row))
        self.columns = list(columns)
        self.rows: list[dict[str, Any]] = []
        for row in rows:
            self._append(row)

    def append(self, **row: Any) -> None:
        """Add a row; the first row of an empty table gives the columns."""
        if not self.columns:
            self.columns = list(row)
        self._append(row)

    def where(self, **equal: Any) -> Table:
        """Return the rows whose columns have these values.

        Raises
        ------
        KeyError
            If there is no such column.
        """
        for name in equal:
            self._check(name)
        rows = [row for row in self.rows if all(row[k] == v for k, v in equal.items())]
        return Table(rows, self.columns)

    @overload
    def __getitem__(self, key: str) -> list[Any]: ...
    @overload
    def __getitem__(self, key: int) -> dict[str, Any]: ...
    def __getitem__(self, key):
        """Return a column by name or a row by number."""
        if isinstance(key, str):
            self._check(key)
            return [row[key] for row in self.rows]
        return self.rows[key]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Table):
            return NotImplemented
        return self.columns == other.columns and self.rows == other.rows

    def to_csv(self, path: str | Path) -> None:
        """Write the table; numbers come back from `from_csv` as they were, None as empty."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        for row in self.rows:
            writer.writerow([_to_text(row[name]) for name in self.columns])
        atomic_write(path, text.getvalue().encode())

    @classmethod
    def from_csv(cls, path: str | Path) -> Table:
        """Read a table; what looks like a number or a bool becomes one.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        UserError
            If a line has another number of entries than the first.
        """
        with open(path, newline="", encoding="utf-8") as file:
            columns, *lines = list(csv.reader(file)) or [[]]
        rows = []
        for i, line in enumerate(lines, 2):
            if len(line) != len(columns):
                raise UserError(
                    f"'{path}' line {i} has {len(line)} entries, expected {len(columns)}"
                )
            rows.append(dict(zip(columns, map(_from_text, line), strict=True)))
        return cls(rows, columns)

    def __str__(self) -> str:
        cells = [self.columns, *self._cells()]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        right = self._numeric()
        lines = [
            "  ".join(
                text.rjust(width) if right[name] else text.ljust(width)
                for text, width, name in zip(line, widths, self.columns, strict=True)
            ).rstrip()
            for line in cells
        ]
        return "\n".join(lines)

    __repr__ = __str__

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        right = self._numeric()
        cells = self._cells()
        widths = [max(map(len, column)) for column in zip(self.columns, *cells, strict=True)]
        # rich would break names and numbers before headers: where it is narrow, break those first
        gap = " " if sum(widths) + len(widths) + 1 <= options.max_width else "\n"
        table = require("rich.table").Table(box=require("rich.box").SIMPLE_HEAD, padding=0)
        for name in self.columns:
            justify = "right" if right[name] else "left"
            table.add_column(name.replace("_", gap), justify=justify, overflow="fold")
        for line in cells:
            table.add_row(*line)
        yield table

    def _repr_html_(self) -> str:
        side = {name: "right" if number else "left" for name, number in self._numeric().items()}
        style = {name: f' style="text-align:{side[name]}"' for name in side}
        head = "".join(f"<th{style[name]}>{html.escape(name)}</th>" for name in self.columns)
        body = "".join(
            "<tr>"
            + "".join(
                f"<td{style[name]}>{html.escape(text)}</td>"
                for name, text in zip(self.columns, line, strict=True)
            )
            + "</tr>"
            for line in self._cells()
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def _append(self, row: dict[str, Any]) -> None:
        for name in row:
            if name not in self.columns:
                raise ValueError(f"row has a column '{name}', expected one of {self.columns}")
        # as Python numbers: NumPy's print and compare in their own ways
        row = {name: x.item() if isinstance(x, np.generic) else x for name, x in row.items()}
        self.rows.append({name: row.get(name) for name in self.columns})

    def _check(self, name: str) -> None:
        if name not in self.columns:
            raise KeyError(f"no column '{name}', expected one of {self.columns}")

    def _numeric(self) -> dict[str, bool]:
        return {
            name: all(_is_number(row[name]) or row[name] is None for row in self.rows)
            for name in self.columns
        }

    def _cells(self) -> list[list[str]]:
        formats = {name: _rounding(self[name]) for name in self.columns}
        return [
            [
                format(row[name], formats[name])
                if isinstance(row[name], float)
                else ("" if row[name] is None else str(row[name]))
                for name in self.columns
            ]
            for row in self.rows
        ]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _rounding(column: list[Any]) -> str:
    # one number of digits a column, so that the points stand below each other
    sizes = [abs(x) for x in column if _is_number(x) and x and math.isfinite(x)]
    largest = max(sizes, default=1.0)
    if largest < 0.1 or largest >= 1e7:
        return ".3g"
    return f".{max(0, 3 - int(math.log10(max(largest, 1))))}f"


def _to_text(value: Any) -> str:
    return "" if value is None else str(value)


def _from_text(text: str) -> Any:
    if text == "" or text in ("True", "False"):
        return {"": None, "True": True, "False": False}[text]
    # Python reads "1_000" as a number; in a table it is a name
    if "_" not in text:
        for kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                pass
    return text
