"""BLEU against values worked out by hand, and what must hold for any captions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatelearn.tasks import bleu_counts, bleu_of_counts, corpus_bleu, sentence_bleu

SENTENCE = st.lists(st.integers(1, 3), max_size=7)
# the examples of Papineni et al. 2002
CANDIDATE_1 = ("It is a guide to action which ensures that the military always obeys the commands "
               "of the party").lower().split()
CANDIDATE_2 = ("It is to insure the troops forever hearing the activity guidebook that party "
               "direct").lower().split()
REFERENCES = [text.lower().split() for text in (
    "It is a guide to action that ensures that the military will forever heed Party commands",
    "It is the guiding principle which guarantees the military forces always being under the "
    "command of the Party",
    "It is the practical guide for the army always to heed the directions of the party")]


def test_the_examples_of_the_paper():
    # modified precisions 17/18 and 10/17; 8/14 and 1/13: the paper gives them
    one = corpus_bleu([CANDIDATE_1], [REFERENCES], 2)
    np.testing.assert_allclose(one, [17 / 18, math.sqrt(17 / 18 * 10 / 17)])
    # the nearest reference has 16 words, the second candidate 14
    two = corpus_bleu([CANDIDATE_2], [REFERENCES], 2)
    np.testing.assert_allclose(two, math.exp(1 - 16 / 14) * np.array(
        [8 / 14, math.sqrt(8 / 14 / 13)]))
    # "the" seven times counts as often as it stands in one reference
    cat = ["the cat is on the mat".split(), "there is a cat on the mat".split()]
    assert corpus_bleu([["the"] * 7], [cat], 1)[0] == pytest.approx(2 / 7)


def test_counts_are_summed_over_the_corpus():
    # unigrams 3 of 3 and 1 of 3, bigrams 2 of 2 and 0 of 2; no brevity penalty
    got = corpus_bleu([[1, 2, 3], [4, 5, 6]], [[[1, 2, 3]], [[7, 4, 8]]], 2)
    np.testing.assert_allclose(got, [4 / 6, math.sqrt(4 / 6 * 2 / 4)])


def test_brevity_uses_the_nearest_reference_and_the_shorter_of_two():
    # lengths 1 and 3 are as near to 2: the shorter counts, nothing is taken off
    assert corpus_bleu([[1, 2]], [[[1, 2, 3], [1]]], 1)[0] == 1
    assert corpus_bleu([[1, 2]], [[[1, 2, 3]]], 1)[0] == pytest.approx(math.exp(1 - 3 / 2))


def test_sentence_bleu_by_hand():
    # 3 of 4 words, 1 + 1 of 3 + 1 pairs, 0 + 1 of 2 + 1 triples, 0 + 1 of 1 + 1 fours
    expected = (3 / 4 * 2 / 4 * 1 / 3 * 1 / 2) ** 0.25
    assert sentence_bleu([1, 2, 9, 3], [[1, 2, 3, 4]]) == pytest.approx(expected)
    assert sentence_bleu([1], [[1, 2]]) == pytest.approx(math.exp(-1))


def test_nothing_gives_nothing():
    assert sentence_bleu([], [[1]]) == 0 and sentence_bleu([2], [[1]]) == 0
    assert (corpus_bleu([[]], [[[1]]]) == 0).all()
    assert (corpus_bleu([], []) == 0).all()
    # no caption has four words
    np.testing.assert_array_equal(corpus_bleu([[1, 2, 3]], [[[1, 2, 3]]]), [1, 1, 1, 0])


@given(SENTENCE, SENTENCE, SENTENCE)
def test_properties(candidate, reference, other):
    score = sentence_bleu(candidate, [reference])
    assert 0 <= score <= 1
    if candidate:
        assert sentence_bleu(candidate, [reference, candidate]) == 1
    corpus = corpus_bleu([candidate, other], [[reference], [other]])
    assert (corpus >= 0).all() and (corpus <= 1).all()
    np.testing.assert_array_equal(corpus, corpus_bleu([other, candidate], [[other], [reference]]))
    if score == 1:
        assert candidate == reference or len(candidate) < 1


@pytest.mark.parametrize("arguments, message", [
    (([[1]], []), "references are 0, expected one list for each of 1 candidates"),
    (([[1], [2]], [[[1]], []]), "references[1] is empty, expected at least one reference"),
    (([[1]], [[[1]]], 0), "order is 0, expected at least 1")])
def test_messages(arguments, message):
    with pytest.raises(ValueError) as error:
        corpus_bleu(*arguments)
    assert str(error.value) == message


def test_sentence_messages():
    with pytest.raises(ValueError, match=r"references\[0\] is empty"):
        sentence_bleu([1], [])
    with pytest.raises(ValueError, match="order is -1, expected at least 1"):
        sentence_bleu([1], [[1]], order=-1)


def test_counts_add_up_to_corpus_bleu():
    candidates = ["a b c d e".split(), "a b".split(), []]
    references = [["a b c d f".split()], ["b a b c".split(), "x".split()], ["y".split()]]
    counts = bleu_counts(candidates, references)
    assert counts.tolist() == [[4, 5, 3, 4, 2, 3, 1, 2, 5, 5], [2, 2, 1, 1, 0, 0, 0, 0, 2, 1],
                               [0, 0, 0, 0, 0, 0, 0, 0, 0, 1]]
    whole = corpus_bleu(candidates, references)
    np.testing.assert_array_equal(bleu_of_counts(counts.sum(0)), whole)
    np.testing.assert_array_equal(bleu_of_counts(counts[[0, 0]].sum(0)),
                                  corpus_bleu(candidates[:1] * 2, references[:1] * 2))
    assert bleu_counts([], [], order=2).shape == (0, 6)
    with pytest.raises(ValueError, match="references are 0"):
        bleu_counts(candidates, [])
