"""What shows a run: tables, progress, stopping, intervals."""

from __future__ import annotations

import io
import math
import os
import signal
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatelearn import runs
from gatelearn.errors import MissingPackageError, UserError, require
from gatelearn.runs import Progress, Table, stop_on_signal
from gatelearn.runs import progress as progress_module


@pytest.fixture
def path(tmp_path):
    return tmp_path / "table.csv"


# tables


@given(
    st.lists(
        st.tuples(
            st.floats(allow_nan=False),
            st.integers(),
            st.sampled_from(["one-shot", 'a,"b"\nc', "1_000", "ü"]),
            st.none() | st.booleans(),
        )
    )
)
def test_table_round_trip(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("table") / "table.csv"
    columns = ["score", "count", "method", "flag"]
    table = Table([dict(zip(columns, row, strict=True)) for row in rows], columns)
    table.to_csv(path)
    again = Table.from_csv(path)
    assert again == table
    kinds = [[type(x) for x in row.values()] for row in table]
    assert kinds == [[type(x) for x in row.values()] for row in again]


def test_table_columns_and_rows(path):
    table = Table([{"method": "a", "score": np.float32(0.1)}, {"method": "b", "open": 2}])
    assert table.columns == ["method", "score", "open"]
    assert table["score"] == [float(np.float32(0.1)), None]
    assert len(table.where(method="b", open=2)) == 1 and table[-1]["method"] == "b"
    with pytest.raises(KeyError, match="no column 'scores'"):
        table["scores"]
    with pytest.raises(KeyError, match="no column 'x'"):
        table.where(x=1)
    with pytest.raises(ValueError, match="row has a column 'x'"):
        table.append(x=1)
    path.write_text("a,b\n1\n")
    with pytest.raises(UserError, match="line 2 has 1 entries, expected 2"):
        Table.from_csv(path)


def test_table_is_shown_rounded_and_aligned():
    table = Table([{"m": "a<b", "ms": 12.3456, "n": 7, "p": 1e-5}, {"m": "c", "ms": 1.0, "n": 10}])
    assert str(table).split("\n") == [
        "m       ms   n      p",
        "a<b  12.35   7  1e-05",
        "c     1.00  10",
    ]
    assert "a&lt;b" in table._repr_html_()
    console = pytest.importorskip("rich.console").Console(width=60, file=io.StringIO())
    console.print(table)
    assert "12.35" in console.file.getvalue()
    assert str(Table()) == ""


# progress and stopping


def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    return now


def test_time_left(monkeypatch):
    now = clock(monkeypatch)
    progress = Progress({"a": 10, "b": 20, "c": 30}, file=io.StringIO())
    progress.skip("c")
    with progress, progress.stage("a", 100) as stage:
        assert progress._seconds_left(stage) == (10, 30)
        for step in range(1, 101):
            # twice as slow as expected
            now[0] += 0.2
            stage.update(step)
            left, in_all = progress._seconds_left(stage)
            assert 0 <= left <= 20 and left <= in_all <= 60
        assert left == 0 and in_all == pytest.approx(40, rel=0.1)


def test_time_left_of_a_resumed_stage(monkeypatch):
    now = clock(monkeypatch)
    with Progress({"a": 10}, quiet=True) as progress, progress.stage("a", 100, start=80) as stage:
        assert progress._seconds_left(stage) == (2, 2)
        now[0] += 5
        stage.update(90)
        assert progress._seconds_left(stage)[0] == pytest.approx(5)


def test_progress_lines(monkeypatch):
    now = clock(monkeypatch)
    file = io.StringIO()
    with Progress({"a": 100, "b": 4000}, file=file) as progress, progress.stage("a", 4) as stage:
        for step in range(1, 5):
            now[0] += 6
            stage.update(step, f"loss {step}")
    lines = file.getvalue().splitlines()
    assert [line.partition(",")[0] for line in lines] == ["a: 2/4", "a: 4/4", "a: done in 0:24"]
    assert all("left in all, loss" in line for line in lines[:2])


def test_progress_on_a_terminal_and_quiet():
    console = pytest.importorskip("rich.console")

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    assert console.Console(file=Terminal()).is_terminal
    for quiet in (False, True):
        file = Terminal()
        with Progress({"a": 1}, quiet=quiet, file=file) as progress:
            with progress.stage("a", 2) as stage:
                stage.update(1, "[loss]")
            progress.print("[bold]")
        assert ("[bold]" in file.getvalue()) is not quiet
        assert ("a: done" in file.getvalue()) is not quiet


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stop_on_signal(number, capfd):
    before = signal.getsignal(number)
    with stop_on_signal() as stop:
        assert not stop
        os.kill(os.getpid(), number)
        assert stop
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before
    assert "once more to stop at once" in capfd.readouterr().err


def test_stop_on_signal_off_the_main_thread():
    seen = []

    def study():
        with stop_on_signal() as stop:
            seen.append(bool(stop))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=study)
    thread.start()
    thread.join()
    assert seen == [False] and signal.getsignal(signal.SIGINT) is before


# intervals


def test_bootstrap_covers(rng):
    inside = 0
    for seed in range(200):
        lo, hi = runs.bootstrap_interval(rng.random(100) < 0.8, n=500, seed=seed)
        inside += lo <= 0.8 <= hi
    assert 180 <= inside <= 199
    assert runs.bootstrap_interval([0.5] * 9) == (0.5, 0.5)
    assert runs.bootstrap_interval([0, 1, 1]) == runs.bootstrap_interval([0, 1, 1])


@pytest.mark.parametrize(
    ("df", "t"),
    [
        (1, 12.706205),
        (2, 4.302653),
        (3, 3.182446),
        (4, 2.776445),
        (9, 2.262157),
        (30, 2.042272),
    ],
)
def test_seed_interval_is_students(df, t, rng):
    scores = rng.random(df + 1)
    lo, hi = runs.seed_interval(scores)
    half = t * scores.std(ddof=1) / math.sqrt(df + 1)
    assert (lo, hi) == pytest.approx((scores.mean() - half, scores.mean() + half), rel=1e-6)


@pytest.mark.parametrize("interval", [runs.bootstrap_interval, runs.seed_interval])
def test_intervals_refuse(interval):
    with pytest.raises(ValueError, match=r"shape \(1,\), expected one axis of at least 2"):
        interval([0.5])
    with pytest.raises(ValueError, match=r"\[1\] is not finite"):
        interval([0.5, math.nan])
    with pytest.raises(ValueError, match="level is 95"):
        interval([0.5, 0.6], 95)


# optional packages


def test_missing_package_says_how_to_install():
    with pytest.raises(MissingPackageError, match=r"pip install 'gatelearn\[lab\]'"):
        require("no_such_package")
