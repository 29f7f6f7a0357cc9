"""NaN reaches what sees it and nothing else; closed heads read nothing."""

import numpy as np
import pytest
from attention_cases import backward, case, forward
from helpers import DTYPES, same_bits
from hypothesis import example, given, settings
from hypothesis import strategies as st

BAD = (np.nan, np.inf, -np.inf)
T_MAX = 300  # several blocks of 128 keys and 96 queries


def results(c):
    return (*forward(c), *backward(c))


def clean_case(dtype=np.float64, T=T_MAX, **options):
    return case(0, dtype, 2, 2, T, T, 5, 4, **options)


def poison(c, name, t, value, b=1, h=0):
    """A copy of the case with a value that is not finite in row t of one head."""
    array = getattr(c, name).copy()
    array[b, h, t, 1] = value
    return c._replace(**{name: array})


def check(c, name, t, value):
    """Rows that do not see position t of head (1, 0) keep their bits; those that do have NaN."""
    with np.errstate(invalid="ignore"):
        clean, got = results(c), results(poison(c, name, t, value))
    Tq, Tk = c.query.shape[2], c.key.shape[2]
    queries = Tq if c.query_lengths is None else c.query_lengths[1]
    keys = Tk if c.key_lengths is None else c.key_lengths[1]
    row, col = np.arange(Tq)[:, None], np.arange(Tk)
    pairs = (row < queries) & (col < keys) & ((col <= row) if c.is_causal else True)

    # which queries and keys does the value reach: forward by one step, backward by two
    at_key = name in ("key", "value")
    q_hit = pairs[:, t] if at_key else (np.arange(Tq) == t) & pairs.any(1)
    reached_by_rows = (pairs & q_hit[:, None]).any(0)
    k_hit = reached_by_rows
    hits = {"out": q_hit if name != "dout" else np.zeros(Tq, bool),
            "lse": q_hit if name in ("query", "key") else np.zeros(Tq, bool),
            "dquery": q_hit, "dkey": k_hit, "dvalue": k_hit}
    for (label, hit), a, e in zip(hits.items(), got, clean, strict=False):
        rest = np.delete(np.arange(len(hit)), np.flatnonzero(hit))
        other = [(0, 0), (0, 1), (1, 1)]
        for b, h in other:
            same_bits(a[b, h], e[b, h])
        same_bits(a[1, 0][rest], e[1, 0][rest])
        if np.isnan(value) and label in ("out", "dquery"):
            shown = np.isnan(a[1, 0]).reshape(len(hit), -1).any(1)
            np.testing.assert_array_equal(shown, hit, err_msg=label)


NAMES = st.sampled_from(["query", "key", "value", "dout"])


@settings(max_examples=60, deadline=None)
@given(name=NAMES, t=st.integers(0, T_MAX - 1), value=st.sampled_from(BAD),
       dtype=st.sampled_from(DTYPES), lengths=st.booleans())
@example(name="value", t=299, value=np.nan, dtype=np.float32, lengths=False)
@example(name="value", t=100, value=np.inf, dtype=np.float64, lengths=False)
@example(name="key", t=128, value=np.nan, dtype=np.float64, lengths=False)
@example(name="dout", t=95, value=np.nan, dtype=np.float64, lengths=False)
@example(name="query", t=0, value=np.nan, dtype=np.float64, lengths=False)
def test_the_past_never_sees_the_future(name, t, value, dtype, lengths):
    c = clean_case(dtype, is_causal=True)
    if lengths:
        c = c._replace(query_lengths=np.array([7, 250]), key_lengths=np.array([300, 140]))
    check(c, name, t, value)


@settings(max_examples=30, deadline=None)
@given(name=NAMES, t=st.integers(0, 139), value=st.sampled_from(BAD), causal=st.booleans())
@example(name="key", t=97, value=np.nan, causal=False)
@example(name="value", t=97, value=np.nan, causal=True)
@example(name="query", t=101, value=np.nan, causal=False)
def test_what_lies_behind_a_length_is_not_seen(name, t, value, causal):
    c = clean_case(T=140, is_causal=causal)._replace(
        query_lengths=np.array([140, 101]), key_lengths=np.array([3, 97]))
    check(c, name, t, value)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("is_causal", [False, True])
def test_a_closed_head_is_the_same_bits_whatever_it_holds(dtype, is_causal):
    c = clean_case(dtype, T=130, is_causal=is_causal)._replace(
        gate=np.array([[0, 1], [-0.0, 0.25]], dtype))
    clean = results(c)
    closed = c.gate == 0
    rng = np.random.default_rng(9)
    for junk in (np.nan, np.inf, 1e30, "noise"):
        filled = {}
        for name in ("query", "key", "value", "dout"):
            filled[name] = getattr(c, name).copy()
            noise = rng.standard_normal(filled[name][closed].shape)
            filled[name][closed] = noise if junk == "noise" else junk
        for a, e in zip(results(c._replace(**filled)), clean, strict=True):
            same_bits(a, e)
            if e.shape[:2] == closed.shape and e.ndim == 4:
                assert not e[closed].any()
    out, lse = clean[:2]
    assert not out[closed].any() and np.isneginf(lse[closed]).all()
    assert not clean[-1][closed].any()


def test_a_value_that_is_not_finite_changes_no_other_bits_of_rows_that_do_not_see_it():
    """Rows of the same tile as a NaN are computed one by one: still the same bits."""
    c = clean_case(np.float32, is_causal=True)
    for t in (0, 5, 11, 12, 95, 96, 127, 128, 255, 299):
        check(c, "value", t, np.nan)
