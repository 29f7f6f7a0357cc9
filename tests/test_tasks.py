"""Tests of gatelearn.tasks: a corpus of real text and the retrieval tasks set into it."""

import dataclasses
import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gatelearn.tasks.corpus
import gatelearn.tasks.retrieval
from gatelearn.tasks import MARKS, Corpus, TextTasks, TextTasksConfig, answer_accuracy

SET_TASKS = ("needle", "last", "mark", "chain")


@pytest.fixture(scope="module")
def corpus():
    return Corpus.load(vocab_size=1024, max_tokens=100_000, reserved=MARKS)


@pytest.fixture(scope="module")
def tasks(corpus):
    return TextTasks(corpus)


def solve(words, position):
    """Answer the query at `position` from the words before it, and say which were read."""
    query = words[position] if words[position] in MARKS else words[position - 1]
    if query == "<last?>":
        return words[position - 1], {position - 1}, [words[position - 1]]
    if query == "<mark?>":
        assert words[:position].count("<mark>") == 1
        i = words.index("<mark>")
        return words[i + 1], {i, i + 1}, [words[i + 1]]
    statements = {}
    for i, word in enumerate(words[:position]):
        if word == "<;>":
            assert words[i - 2] not in statements
            statements[words[i - 2]] = (words[i - 1], i)
    name, read, found = words[position], set(), []
    while name in statements:
        name, i = statements[name]
        read |= {i - 2, i - 1}
        found.append(name)
    assert query == "<chain?>" or len(found) == 1
    return name, read, found


@pytest.mark.parametrize("task", SET_TASKS)
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_answer_follows_from_evidence(tasks, task, split):
    batch = tasks.sample(np.random.default_rng(1), 40, task=task, split=split)
    vocabulary = tasks.corpus.vocabulary
    for b in range(40):
        words = [vocabulary[i] for i in batch.tokens[b]]
        used = np.flatnonzero(batch.query[b] >= 0)
        assert used.size == {"needle": 8, "last": 8, "mark": 8, "chain": 4}[task]
        for q in used:
            answer, read, found = solve(words, batch.query[b, q])
            assert vocabulary[batch.answer[b, q]] == answer
            assert set(np.flatnonzero(batch.evidence[b, q])) == read
            hops = batch.hop_answer[b, q]
            assert [vocabulary[i] for i in hops if i >= 0] == found
        unused = np.setdiff1d(np.arange(batch.query.shape[1]), used)
        assert (batch.answer[b, unused] == -1).all()
        assert (batch.hop_answer[b, unused] == -1).all()
        assert not batch.evidence[b, unused].any()


@pytest.mark.parametrize("hops", [1, 2, 3])
def test_chain_needs_every_hop(corpus, hops):
    tasks = TextTasks(corpus, TextTasksConfig(hops=hops, chains=4, chain_queries=3))
    batch = tasks.sample(np.random.default_rng(2), 60, task="chain")
    for b in range(60):
        tokens = batch.tokens[b].tolist()
        for q in range(3):
            name, answer = tokens[batch.query[b, q]], batch.answer[b, q]
            assert (batch.hop_answer[b, q] >= 0).sum() == hops
            assert batch.evidence[b, q].sum() == 2 * hops
            # the answer stands once, and beside the name asked only when there is one hop
            assert tokens.count(answer) == 1
            assert (abs(tokens.index(name) - tokens.index(answer)) == 1) == (hops == 1)


def test_next_is_the_next_word(tasks):
    batch = tasks.sample(np.random.default_rng(3), 50, task="next")
    rows, slots = np.nonzero(batch.query >= 0)
    where = batch.query[rows, slots]
    inside = where < 63
    assert (where >= 32).all() and inside.all()
    np.testing.assert_array_equal(batch.tokens[rows, where + 1], batch.answer[rows, slots])
    assert not batch.evidence.any()
    assert (batch.hop_answer == -1).all()
    assert (batch.query >= 0).any(axis=1).all()


@pytest.mark.parametrize("task", SET_TASKS)
def test_words_put_in_are_not_in_the_window(tasks, task):
    batch = tasks.sample(np.random.default_rng(4), 50, task=task)
    for tokens, answers in zip(batch.tokens, batch.answer, strict=True):
        for answer in set(answers[answers >= 0].tolist()):
            assert (tokens == answer).sum() == 1
        assert answers[0] in tasks.variables


@pytest.mark.parametrize("task", SET_TASKS)
def test_answer_is_not_told_by_frequency_or_place(tasks, task):
    batch = tasks.sample(np.random.default_rng(5), 3000, task=task)
    counts = np.bincount(batch.answer[:, 0])
    assert counts.max() / counts.sum() < 0.03
    # the word at the place where the answer stands most often
    at = (batch.tokens == batch.answer[:, :1]).argmax(axis=1)
    places = np.bincount(at - (batch.query[:, 0] if task == "last" else 0) + 64)
    assert task == "last" or places.max() / places.sum() < 0.15


def test_text_window_is_kept_in_order(tasks):
    batch = tasks.sample(np.random.default_rng(6), 1, task="needle")
    tokens = batch.tokens[0].tolist()
    assert tokens[0] == tasks.corpus.index["<text>"]
    end = tasks.corpus.index["<;>"]
    body = tokens[1:48]
    put_in = {j for i, t in enumerate(body) if t == end for j in (i - 2, i - 1, i)}
    window = [t for i, t in enumerate(body) if i not in put_in]
    stream = tasks.corpus.train
    hits = np.lib.stride_tricks.sliding_window_view(stream, len(window)) == window
    assert hits.all(axis=1).any()


def test_same_state_same_texts(tasks):
    one, two = (tasks.sample(np.random.default_rng(7), 64) for _ in range(2))
    other = tasks.sample(np.random.default_rng(8), 64)
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(two, field.name)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    assert (one.tokens != other.tokens).any()
    again = Corpus.load(vocab_size=1024, max_tokens=100_000, reserved=MARKS)
    assert again.vocabulary == tasks.corpus.vocabulary
    np.testing.assert_array_equal(again.train, tasks.corpus.train)


def test_mixture_weights(corpus):
    tasks = TextTasks(corpus, TextTasksConfig(weights=(3, 0, 1, 0, 0)))
    batch = tasks.sample(np.random.default_rng(9), 2000)
    share = np.bincount(batch.task, minlength=5) / 2000
    np.testing.assert_allclose(share, [0.75, 0, 0.25, 0, 0], atol=0.04)


def test_mask_removes_the_answer(tasks):
    batch = tasks.sample(np.random.default_rng(10), 200)
    masked = tasks.mask_evidence(batch, np.random.default_rng(11))
    gone = batch.evidence.any(axis=1)
    np.testing.assert_array_equal(masked.tokens[~gone], batch.tokens[~gone])
    assert (masked.tokens[gone] != batch.tokens[gone]).all()
    for b, q in zip(*np.nonzero(batch.query >= 0), strict=True):
        assert not gone[b, batch.query[b, q]]
        if tasks.names[batch.task[b]] != "next":
            assert batch.answer[b, q] not in masked.tokens[b]
    again = tasks.mask_evidence(batch, np.random.default_rng(11))
    np.testing.assert_array_equal(masked.tokens, again.tokens)


def test_answer_accuracy(tasks):
    batch = tasks.sample(np.random.default_rng(12), 20, task="chain")
    wrong = batch.answer.copy()
    wrong[:, 0] = 0
    np.testing.assert_allclose(answer_accuracy(wrong, batch), 0.75)
    scores = np.eye(1024, dtype=np.float32)[batch.answer]
    np.testing.assert_array_equal(answer_accuracy(scores, batch), 1.0)
    with pytest.raises(ValueError, match=r"predictions has shape \(20, 3\), expected \(20, 31\)"):
        answer_accuracy(wrong[:, :3], batch)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_sizes(corpus, data):
    draw = data.draw
    needles, chains, hops = (draw(st.integers(1, n)) for n in (6, 4, 3))
    needle_queries, chain_queries = draw(st.integers(1, needles)), draw(st.integers(1, chains))
    lasts, marks = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    least = 2 + max(
        3 * needles + 2 * needle_queries, 3 * chains * hops + 2 * chain_queries,
        2 * lasts, 2 + marks,
    )  # fmt: skip
    config = TextTasksConfig(
        length=least + draw(st.integers(0, 40)),
        needles=needles, needle_queries=needle_queries, lasts=lasts, marks=marks,
        chains=chains, hops=hops, chain_queries=chain_queries,
    )  # fmt: skip
    tasks = TextTasks(corpus, config)
    size = draw(st.integers(0, 5))
    batch = tasks.sample(np.random.default_rng(draw(st.integers(0, 9))), size)
    assert batch.tokens.shape == (size, config.length)
    assert batch.query.shape == batch.answer.shape == (size, config.queries)
    assert batch.evidence.shape == (size, config.queries, config.length)
    assert batch.hop_answer.shape == (size, config.queries, hops)
    vocabulary = corpus.vocabulary
    for b, q in zip(*np.nonzero(batch.query >= 0), strict=True):
        if tasks.names[batch.task[b]] != "next":
            words = [vocabulary[i] for i in batch.tokens[b]]
            assert vocabulary[batch.answer[b, q]] == solve(words, batch.query[b, q])[0]
    tasks.mask_evidence(batch, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"length": 40}, "length is 40, expected at least 42 for needles = 8"),
        ({"needles": 0}, "needles is 0, expected at least 1"),
        ({"chain_queries": 5}, "chain_queries is 5, expected 1 to chains = 4"),
        ({"variables": 60}, "variables is 60, expected at least length = 64"),
        ({"weights": (1, 1)}, "weights is (1, 1), expected 5 numbers"),
        ({"weights": (0, 0, 0, 0, 0)}, "not all zero"),
        ({"weights": (float("nan"), 1, 1, 1, 1)}, "none negative"),
    ],
)
def test_bad_config(changes, message):
    with pytest.raises(ValueError) as error:
        TextTasksConfig(**changes)
    assert message in str(error.value)


def test_bad_arguments(corpus, tasks):
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="task is 'needles', expected one of needle, last"):
        tasks.sample(rng, 2, task="needles")
    with pytest.raises(ValueError, match="split is 'dev', expected one of train, validation"):
        tasks.sample(rng, 2, split="dev")
    with pytest.raises(ValueError, match="batch is -1, expected at least 0"):
        tasks.sample(rng, -1)
    with pytest.raises(IndexError, match=r"tokens has values in \[-1, 3\], expected \[0, 1023\]"):
        corpus.decode([-1, 3])
    with pytest.raises(ValueError, match="vocab_size is 3, expected more than the 8 reserved"):
        Corpus.load(vocab_size=3, reserved=MARKS, max_tokens=1000)
    with pytest.raises(ValueError, match="max_tokens is 0, expected at least 1"):
        Corpus.load(max_tokens=0)
    with pytest.raises(ValueError, match="no reserved token <text>, expected one loaded with"):
        TextTasks(Corpus.load(max_tokens=50_000))
    with pytest.raises(ValueError, match=r"names in its vocabulary, expected .* = 5000"):
        TextTasks(corpus, TextTasksConfig(variables=5000))
    short = Corpus.from_texts({"a": prose(0, 500)}, reserved=MARKS)
    message = "corpus has 50 words in split validation, expected at least config.length = 64"
    with pytest.raises(ValueError, match=message):
        TextTasks(short)


def prose(seed, words=400):
    rng = np.random.default_rng(seed)
    return " ".join(f"word{i}" for i in rng.integers(0, 200, words))


def test_splits_are_disjoint_by_file(tmp_path):
    for i in range(30):
        file = tmp_path / f"part{i % 3}" / f"{i}.txt"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"file{i} " * 20)
    (tmp_path / "image.bin").write_bytes(b"\0\1\2")
    (tmp_path / ".hidden").write_text("secret " * 50)
    corpus = Corpus.load(tmp_path, vocab_size=100)
    files = [set(corpus.files[split]) for split in ("train", "validation", "test")]
    assert [len(f) for f in files] == [24, 3, 3]
    assert len(set.union(*files)) == 30
    # the vocabulary is that of the training files
    assert len(corpus.vocabulary) == 25
    assert (corpus.test == 0).all()
    assert "secret" not in corpus.index


def test_one_file_is_cut_into_parts(tmp_path):
    path = tmp_path / "one.txt"
    path.write_text(" ".join(f"w{i}" for i in range(1000)))
    corpus = Corpus.load(path, vocab_size=2000)
    assert [len(corpus.stream(s)) for s in ("train", "validation", "test")] == [800, 100, 100]
    assert corpus.decode(corpus.train[:3]) == "w0 w1 w2"
    TextTasks(Corpus.load(path, reserved=MARKS), TextTasksConfig(variables=64))


def test_tokens():
    corpus = Corpus.from_texts({"a": 'def f(x_1): return x_1 ** 2.5 != "é" ... ' * 20})
    text = 'def f ( x_1 ) : return x_1 ** 2.5 != " é " ...'
    assert corpus.decode(corpus.encode(text)) == text
    assert corpus.encode("zzz").tolist() == [0]
    assert corpus.encode("").shape == (0,)
    with pytest.raises(ValueError, match="read-only"):
        corpus.train[0] = 1


def test_encodings(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeff".encode() + ("naïve " * 100).encode())
    corpus = Corpus.load(path)
    assert corpus.vocabulary == ["<unk>", "naïve"]
    # a long file is cut, perhaps inside a character
    assert len(Corpus.load(path, max_tokens=20).train) == 16


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("missing", None, FileNotFoundError, "expected an existing file or folder"),
        ("binary", b"abc\0def", ValueError, "a binary file, expected UTF-8 text"),
        ("latin", b"caf\xe9 au lait " * 30, ValueError, "not UTF-8 at byte 3, expected UTF-8"),
        ("empty", b"", ValueError, "path has 0 words in all, expected enough"),
        ("short", b"a b", ValueError, "path has 2 words in all, expected enough"),
    ],
)
def test_bad_file(tmp_path, name, content, error, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error) as info:
        Corpus.load(path)
    assert str(info.value).startswith("path ") and message in str(info.value)
    if name not in ("empty", "short"):
        assert repr(str(path)) in str(info.value)


def test_bad_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="a folder without UTF-8 text files, expected"):
        Corpus.load(tmp_path)
    (tmp_path / "a.bin").write_bytes(b"\0")
    with pytest.raises(FileNotFoundError, match="a folder without UTF-8 text files, expected"):
        Corpus.load(tmp_path)


def test_unreadable_file(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text(prose(0))

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(gatelearn.tasks.corpus, "open", refuse, raising=False)
    for target in (path, tmp_path):
        with pytest.raises(PermissionError, match=r"a\.txt', which may not be read, expected"):
            Corpus.load(target)


def test_english_text(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(prose(1, 3000))
    tasks = TextTasks(Corpus.load(path, reserved=MARKS))
    batch = tasks.sample(np.random.default_rng(0), 8, split="test")
    np.testing.assert_array_equal(answer_accuracy(batch.answer, batch), 1.0)


@pytest.mark.parametrize("module", [gatelearn.tasks.corpus, gatelearn.tasks.retrieval])
def test_examples(module):
    assert doctest.testmod(module).failed == 0
