"""Real text as word tokens: reading, splitting by file, vocabulary."""

from __future__ import annotations

import codecs
import hashlib
import os
import re
import sysconfig
from collections import Counter
from pathlib import Path

import numpy as np

UNKNOWN = "<unk>"
SPLITS = ("train", "validation", "test")

# a word or name, a number, an operator of up to three signs, or any other single sign
_WORD = re.compile(
    r"[^\W\d]\w*|\d[\w.]*|\*\*=|//=|>>=|<<=|\.\.\.|[-+*/%&|^=<>!:@]=|->|\*\*|//|<<|>>|[^\w\s]"
)
_BYTES_PER_WORD = 16
_MIN_FILES = 10
_HELD_OUT = 0.1
# folders of the standard library that hold no prose or code worth reading
_STDLIB_SKIP = frozenset(
    (
        "test tests idlelib lib2to3 site-packages dist-packages encodings ensurepip turtledemo "
        "pydoc_data lib-dynload __pycache__ __phello__"
    ).split()
)


class Corpus:
    """Word tokens of a collection of texts, split into train, validation and test.

    Build one with `load` (from files) or `from_texts` (from strings).

    Attributes
    ----------
    vocabulary : list of str
        Word of each index: first the reserved tokens, ``<unk>`` at 0, then the words of the
        training texts, most frequent first (ties in alphabetical order).
    reserved : int
        How many reserved tokens `vocabulary` starts with.
    train, validation, test : ndarray of int64, shape (N,)
        The texts of each split, one after the other. Read-only.
    files : dict of str to tuple of str
        Relative paths that went into each split.

    Examples
    --------
    >>> corpus = Corpus.from_texts({"a.txt": "to be or not to be, that is the question " * 9})
    >>> corpus.decode(corpus.encode("to be, or to sleep"))
    'to be , or to <unk>'
    >>> corpus.vocabulary[corpus.reserved:][:2]
    ['be', 'to']
    """

    def __init__(self, words, files, *, vocab_size=1024, reserved=()):
        reserved = (UNKNOWN, *(r for r in reserved if r != UNKNOWN))
        if vocab_size <= len(reserved):
            raise ValueError(
                f"vocab_size is {vocab_size}, expected more than the {len(reserved)} "
                "reserved tokens"
            )
        counts = Counter(words["train"])
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        self.reserved = len(reserved)
        self.vocabulary = [*reserved, *ranked[: vocab_size - len(reserved)]]
        self.index = {word: i for i, word in enumerate(self.vocabulary)}
        self.files = dict(files)
        self.train, self.validation, self.test = (self._encode_words(words[s]) for s in SPLITS)

    @classmethod
    def load(cls, path=None, *, vocab_size=1024, max_tokens=400_000, reserved=()):
        """Read a file or a folder.

        A folder is read recursively; hidden files and files that are not UTF-8 text are left out.
        The order of files and the split are functions of their relative paths alone, so two
        machines with the same files get the same corpus. One tenth of the files becomes
        validation and one tenth test. With fewer than ten files each *file* is cut instead: its
        last tenth is test, the tenth before it validation.

        Parameters
        ----------
        path : str or path-like, optional
            A text file or a folder. By default the sources of the Python standard library,
            without its tests.
        vocab_size : int, default 1024
            Largest number of words, the reserved tokens included.
        max_tokens : int, default 400_000
            Stop reading after so many words.
        reserved : sequence of str, default ()
            Tokens that no text can contain, kept at the start of the vocabulary after ``<unk>``.
            `TextTasks` needs `gatelearn.tasks.MARKS` here.

        Returns
        -------
        Corpus

        Raises
        ------
        FileNotFoundError
            If `path` does not exist, or is a folder without any text file.
        PermissionError
            If a file may not be read.
        ValueError
            If `path` is a file that is not text, or there are too few words to split.

        Examples
        --------
        >>> corpus = Corpus.load(vocab_size=512, max_tokens=50_000)
        >>> len(corpus.vocabulary)
        512
        >>> set(corpus.files["train"]).isdisjoint(corpus.files["test"])
        True
        """
        if max_tokens < 1:
            raise ValueError(f"max_tokens is {max_tokens}, expected at least 1")
        stdlib = path is None
        root = Path(sysconfig.get_paths()["stdlib"] if stdlib else path)
        if not root.exists():
            raise FileNotFoundError(f"path is {str(root)!r}, expected an existing file or folder")
        if not root.is_dir():
            return cls.from_texts(
                {root.name: _read_text(root, max_tokens)},
                vocab_size=vocab_size,
                max_tokens=max_tokens,
                reserved=reserved,
            )

        texts, total = {}, 0
        for relative in sorted(_list_files(root, stdlib), key=_path_hash):
            try:
                text = _read_text(root / relative, max_tokens)
            except ValueError:
                continue
            words = _WORD.findall(text)
            texts[relative] = words
            total += len(words)
            if total >= max_tokens:
                break
        if not total:
            kind = "Python sources" if stdlib else "UTF-8 text files"
            raise FileNotFoundError(
                f"path is {str(root)!r}, a folder without {kind}, expected at least one"
            )
        return cls._split(texts, vocab_size, max_tokens, reserved)

    @classmethod
    def from_texts(cls, texts, *, vocab_size=1024, max_tokens=400_000, reserved=()):
        """Take texts from memory; `load` has the meaning of the parameters.

        Parameters
        ----------
        texts : mapping of str to str
            Text of each name. The names stand for the relative paths of `load`.
        vocab_size, max_tokens, reserved
            As in `load`.

        Returns
        -------
        Corpus

        Raises
        ------
        ValueError
            If there are too few words to split.
        """
        words = {name: _WORD.findall(texts[name]) for name in sorted(texts, key=_path_hash)}
        return cls._split(words, vocab_size, max_tokens, reserved)

    @classmethod
    def _split(cls, texts, vocab_size, max_tokens, reserved):
        # texts come in the order of their hashes, so that the first are a random draw
        words = {split: [] for split in SPLITS}
        files = {split: [] for split in SPLITS}
        held_out = max(1, round(_HELD_OUT * len(texts)))
        left = max_tokens
        for i, (name, text) in enumerate(texts.items()):
            text, left = text[:left], left - len(text[:left])
            if len(texts) < _MIN_FILES:
                cut = [round(len(text) * (1 - k * _HELD_OUT)) for k in (2, 1)]
                parts = (text[: cut[0]], text[cut[0] : cut[1]], text[cut[1] :])
            else:
                k = 2 if i < held_out else 1 if i < 2 * held_out else 0
                parts = tuple(text if j == k else [] for j in range(3))
            for split, part in zip(SPLITS, parts, strict=True):
                if part:
                    words[split] += part
                    files[split].append(name)
        if not all(words.values()):
            have = sum(map(len, words.values()))
            raise ValueError(f"path has {have} words in all, expected enough for three splits")
        files = {split: tuple(names) for split, names in files.items()}
        return cls(words, files, vocab_size=vocab_size, reserved=reserved)

    def encode(self, text):
        """Indices of the words of a text; words outside the vocabulary become ``<unk>``.

        Parameters
        ----------
        text : str

        Returns
        -------
        ndarray of int64, shape (N,)
        """
        return self._encode_words(_WORD.findall(text)).copy()

    def decode(self, tokens):
        """Words of the indices, with a blank between two.

        Parameters
        ----------
        tokens : array_like of int, shape (N,)

        Returns
        -------
        str

        Raises
        ------
        IndexError
            If an index is outside the vocabulary.
        """
        tokens = np.asarray(tokens)
        if tokens.size and not 0 <= tokens.min() <= tokens.max() < len(self.vocabulary):
            raise IndexError(
                f"tokens has values in [{tokens.min()}, {tokens.max()}], "
                f"expected [0, {len(self.vocabulary) - 1}]"
            )
        return " ".join(self.vocabulary[i] for i in tokens)

    def stream(self, split):
        """All tokens of one split.

        Parameters
        ----------
        split : {"train", "validation", "test"}

        Returns
        -------
        ndarray of int64, shape (N,)

        Raises
        ------
        ValueError
            If there is no such split.
        """
        if split not in SPLITS:
            raise ValueError(f"split is {split!r}, expected one of {', '.join(SPLITS)}")
        return getattr(self, split)

    def _encode_words(self, words):
        index = self.index
        tokens = np.fromiter((index.get(w, 0) for w in words), dtype=np.int64, count=len(words))
        tokens.flags.writeable = False
        return tokens


def _path_hash(relative):
    return hashlib.blake2b(relative.encode("utf-8", "surrogateescape"), digest_size=8).digest()


def _list_files(root, stdlib):
    for folder, folders, names in os.walk(root):
        folders[:] = [f for f in folders if not f.startswith(".")]
        if stdlib:
            folders[:] = [f for f in folders if f not in _STDLIB_SKIP and "-" not in f]
        for name in names:
            if name.startswith(".") or (stdlib and not name.endswith(".py")):
                continue
            yield Path(folder, name).relative_to(root).as_posix()


def _read_text(path, max_tokens):
    size = max_tokens * _BYTES_PER_WORD
    try:
        with open(path, "rb") as file:
            data = file.read(size + 1)
    except PermissionError as error:
        raise PermissionError(
            f"path has {str(path)!r}, which may not be read, expected a readable file"
        ) from error
    if b"\0" in data:
        raise ValueError(f"path has {str(path)!r}, a binary file, expected UTF-8 text")
    try:
        return codecs.getincrementaldecoder("utf-8-sig")().decode(data[:size], len(data) <= size)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"path has {str(path)!r}, which is not UTF-8 at byte {error.start}, expected UTF-8 text"
        ) from error
