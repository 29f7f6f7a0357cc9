"""Families of hidden rules: what a text holds, where a rule points, what is held out."""

import numpy as np
import pytest

from gatelearn.tasks import MARKS, Corpus, FamiliesConfig, PositionFamilies


@pytest.fixture(scope="module")
def corpus():
    return Corpus.load(vocab_size=512, max_tokens=50_000, reserved=MARKS)


def test_rules_point_where_they_say(corpus):
    config = FamiliesConfig(length=24, marks=3, occurrences=2)
    families = PositionFamilies(corpus, config)
    batch = families.sample(np.random.default_rng(0), 20)
    assert batch.tokens.shape == (20, 12, 24) and batch.place.shape == (20, 12, 23 + 6)
    np.testing.assert_array_equal(families.kind, [0] * 23 + [1] * 6)
    for tokens, place in zip(batch.tokens.reshape(-1, 24), batch.place.reshape(-1, 29),
                             strict=True):
        np.testing.assert_array_equal(place[:23], np.arange(1, 24))
        assert tokens[0] == corpus.index["<text>"]
        for m, mark in enumerate(MARKS[1:4]):
            at = np.flatnonzero(tokens == corpus.index[mark])
            np.testing.assert_array_equal(place[23 + 2*m:23 + 2*m + 2], at + 1)
    np.testing.assert_array_equal(
        batch.target, np.array([[p[r] for p in row] for row, r in
                                zip(batch.place, batch.rule, strict=True)]))


def test_the_rest_of_a_text_is_real(corpus):
    families = PositionFamilies(corpus)
    tokens = families.sample(np.random.default_rng(0), 3, split="test").tokens.reshape(-1, 20)
    windows = np.lib.stride_tricks.sliding_window_view(corpus.test, 20)
    for text in tokens:
        real = (text >= corpus.reserved) | (text == 0)
        assert (windows[:, real] == text[real]).all(1).any()


def test_rules_of_a_split_are_its_own(corpus):
    families = PositionFamilies(corpus)
    rules = np.concatenate(list(families.rules.values()))
    np.testing.assert_array_equal(np.sort(rules), np.arange(25))
    for split, own in families.rules.items():
        drawn = families.sample(np.random.default_rng(0), 500, split=split).rule
        assert set(drawn) == set(own)
        assert set(families.kind[own]) == {0, 1}
        assert families.kind[drawn].mean() == pytest.approx(0.5, abs=0.08)
    other = PositionFamilies(corpus, FamiliesConfig(seed=1))
    assert any((families.rules[s] != other.rules[s]).any() for s in families.rules)


@pytest.mark.parametrize("share, kinds", [(0.0, {0}), (1.0, {1})])
def test_one_kind_alone(corpus, share, kinds):
    families = PositionFamilies(corpus, FamiliesConfig(after_share=share))
    drawn = families.sample(np.random.default_rng(0), 30).rule
    assert set(families.kind[drawn]) == kinds


def test_the_same_state_gives_the_same_tasks(corpus):
    families = PositionFamilies(corpus)
    a, b, c = (families.sample(np.random.default_rng(s), 4) for s in (0, 0, 1))
    for name in ("tokens", "rule", "place"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert (a.tokens != c.tokens).any()
    assert families.sample(np.random.default_rng(0), 0).target.shape == (0, 12)


@pytest.mark.parametrize("change, message", [
    (dict(length=13), r"length is 13, expected at least 14 for marks \* occurrences = 6"),
    (dict(attempts=0), "attempts is 0, expected at least 1"),
    (dict(marks=0), "marks is 0, expected at least 1"),
    (dict(marks=7, length=99), "marks is 7, expected at most 6"),
    (dict(marks=1, occurrences=2), r"marks \* occurrences is 2, expected at least 3"),
    (dict(after_share=1.5), r"after_share is 1\.5, expected 0 to 1"),
])
def test_wrong_sizes_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        FamiliesConfig(**change)


def test_errors_name_what_was_expected(corpus):
    plain = Corpus.load(vocab_size=512, max_tokens=50_000)
    with pytest.raises(ValueError, match="corpus has no reserved token <text>"):
        PositionFamilies(plain)
    with pytest.raises(ValueError, match="words in split validation, expected at least length = "):
        PositionFamilies(Corpus.from_texts({"a": "one two three four " * 60}, reserved=MARKS,
                                           vocab_size=40), FamiliesConfig(length=40))
    families = PositionFamilies(corpus)
    with pytest.raises(ValueError, match="split is 'all', expected one of train, validation, test"):
        families.sample(np.random.default_rng(0), 1, split="all")
    with pytest.raises(ValueError, match="tasks is -1, expected at least 0"):
        families.sample(np.random.default_rng(0), -1)
