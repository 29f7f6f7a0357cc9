"""Emoji with their names as captions.

An image is a grid of cells. Some hold an emoji, drawn by the font Noto Color Emoji at a random size
and place within its cell; the caption names them in reading order: ``red apple , dog , rocket``.
So every word of a name has one right cell, and where attention looked can be judged.

No test image repeats a training image. In a grid the *set* of its emoji decides the split: emoji
that stand together in a test image never do so in a training image. In a grid of one cell most
names occur once, so a split by emoji would ask for words never seen; there the emoji with its size
and place decides. The colour of the background and a slight noise are drawn anew each time.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn.errors import UserError, require
from gatelearn.tasks.corpus import SPLITS

END, COMMA = "<end>", ","
FONT = "NotoColorEmoji.ttf"

_INSTALL = "'gatelearn[captions]'"
_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts",
            "/Library/Fonts", "~/Library/Fonts")
# the font is one of bitmaps, and this is their only size
_FONT_SIZE, _CANVAS = 109, 136
# what the sum of keys, modulo 10, makes of an image: 0 to 7 train, 8 validation, 9 test
_SPLIT_OF = np.array([0] * 8 + [1, 2])


@dataclass(frozen=True)
class EmojiConfig:
    """Sizes of the images and how many emoji there are.

    Attributes
    ----------
    emoji : int, optional
        How many different ones, evenly spread over the alphabet of names; None takes all.
    grid : int
        Rows and columns of cells.
    cell : int
        Pixels along a side of a cell.
    least : int
        Emoji in an image, at least; at most there is one in every cell. Each number is as likely.
    sizes : tuple of int
        Pixels along a side of an emoji; each is as likely.
    noise : float
        Standard deviation of the noise on every pixel.
    """

    emoji: int | None = 64
    grid: int = 2
    cell: int = 16
    least: int = 2
    sizes: tuple[int, ...] = (13, 14, 15, 16)
    noise: float = 0.02

    def __post_init__(self):
        if self.emoji is not None and self.emoji < 10:
            raise UserError(f"emoji is {self.emoji}, expected at least 10 or None for all")
        if self.grid < 1:
            raise UserError(f"grid is {self.grid}, expected at least 1")
        if self.emoji is not None and self.emoji < self.grid**2:
            raise UserError(f"emoji is {self.emoji}, expected at least one for each of the "
                            f"{self.grid**2} cells")
        if not 1 <= self.least <= self.grid**2:
            raise UserError(f"least is {self.least}, expected 1 to the {self.grid**2} of a grid of "
                            f"{self.grid} by {self.grid}")
        if not self.sizes or not all(4 <= size <= self.cell for size in self.sizes):
            raise UserError(f"sizes is {self.sizes}, expected numbers from 4 to cell = {self.cell}")
        placements = sum((self.cell - size + 1) ** 2 for size in self.sizes)
        if self.grid == 1 and placements < 10:
            raise UserError(f"sizes is {self.sizes}, expected smaller ones: there are "
                            f"{placements} placements in a cell of {self.cell} pixels, and 10 are "
                            "needed to split them")
        if not 0 <= self.noise < 1:
            raise UserError(f"noise is {self.noise}, expected 0 <= noise < 1")


@dataclass(frozen=True)
class EmojiBatch:
    """Images with their captions.

    Attributes
    ----------
    images : ndarray of float32, shape (B, 3, H, W)
        In [0, 1].
    captions : ndarray of int64, shape (B, T)
        Words; ``<end>`` is the last that counts, and fills the rest. T is the longest of the batch.
    lengths : ndarray of int64, shape (B,)
        Words that count, ``<end>`` included.
    cell : ndarray of int64, shape (B, T)
        Where the emoji stands that the word is of; -1 at commas, ``<end>`` and behind it. Cells
        count row by row.
    telling : ndarray of bool, shape (B, T)
        Words of a name that the name's words before them leave open, its first word always: only
        for these does one have to look.
    emoji : ndarray of int64, shape (B, cells)
        Index of each cell's emoji in `EmojiCaptions.names`; -1 where it is empty.
    """

    images: NDArray[np.float32]
    captions: NDArray[np.int64]
    lengths: NDArray[np.int64]
    cell: NDArray[np.int64]
    telling: NDArray[np.bool_]
    emoji: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.images)


class EmojiCaptions:
    """Draws images of emoji with captions.

    Each emoji is drawn by the font once; a batch is put together from these drawings.

    Parameters
    ----------
    config : EmojiConfig, optional
    font : path, optional
        The file ``NotoColorEmoji.ttf``; by default it is looked for where systems keep fonts.

    Attributes
    ----------
    names, characters : list of str
        Of each emoji.
    vocabulary : list of str
        ``<end>`` at 0, ``,`` at 1, then the words of the names by alphabet.
    length : int
        Words of the longest possible caption, ``<end>`` included.
    image_shape : tuple of int
        (3, H, W).

    Raises
    ------
    MissingPackageError
        Without the packages ``emoji`` and ``pillow``.
    UserError
        Without the font, with another font, or if it draws fewer emoji than are asked for.

    Examples
    --------
    >>> tasks = EmojiCaptions(EmojiConfig(emoji=40))
    >>> batch = tasks.sample(np.random.default_rng(0), 8)
    >>> batch.images.shape
    (8, 3, 32, 32)
    >>> names = [tasks.names[i] for i in batch.emoji[0] if i >= 0]
    >>> tasks.decode(batch.captions[0]) == " , ".join(names)
    True
    """

    def __init__(self, config: EmojiConfig | None = None, *, font: str | Path | None = None):
        self.config = config = EmojiConfig() if config is None else config
        characters, names, drawings = _draw(find_font(font), config.sizes)
        count = len(names) if config.emoji is None else config.emoji
        if count > len(names):
            raise UserError(f"emoji is {count}, expected at most the {len(names)} that the font "
                            "draws")
        chosen = np.linspace(0, len(names) - 1, count).round().astype(np.int64)
        self.characters = [characters[i] for i in chosen]
        self.names = [names[i] for i in chosen]

        split = [name.split() for name in self.names]
        self.vocabulary = [END, COMMA, *sorted({word for name in split for word in name})]
        index = {word: i for i, word in enumerate(self.vocabulary)}
        cells, sizes = config.grid**2, sorted(map(len, split))
        self.length = sum(sizes[-cells:]) + cells
        side = config.grid * config.cell
        self.image_shape = (3, side, side)

        follows: dict[tuple[str, ...], set[str | None]] = {}
        for name in split:
            for k in range(len(name) + 1):
                follows.setdefault(tuple(name[:k]), set()).add(name[k] if k < len(name) else None)

        # the words of each name and a comma; index -1 is that of an empty cell
        self._words = np.full((count + 1, sizes[-1] + 1), -1)
        self._telling = np.zeros(self._words.shape, bool)
        for i, name in enumerate(split):
            self._words[i, : len(name)] = [index[word] for word in name]
            self._words[i, -1] = index[COMMA]
            self._telling[i, : len(name)] = [len(follows[tuple(name[:k])]) > 1
                                             for k in range(len(name))]
        # a drawing stands at `margin`, so that a window of a cell's size can be moved over it
        self._margin = margin = config.cell - min(config.sizes)
        shape = (count + 1, len(config.sizes), config.cell + margin, config.cell + margin, 4)
        self._drawings = np.zeros(shape, np.float32)
        for i, size in enumerate(config.sizes):
            place = slice(margin, margin + size)
            self._drawings[:-1, i, place, place] = drawings[i][chosen] / np.float32(255)

    def sample(self, rng: np.random.Generator, batch: int, *,
               split: str = "train") -> EmojiBatch:
        """Draw images with captions.

        Parameters
        ----------
        rng : numpy.random.Generator
            The same state gives the same images.
        batch : int
            Number of images, B.
        split : {"train", "validation", "test"}, default "train"

        Returns
        -------
        EmojiBatch

        Raises
        ------
        ValueError
            If there is no such split, or `batch` is less than 1.
        """
        if split not in SPLITS:
            raise ValueError(f"split is {split!r}, expected one of {', '.join(SPLITS)}")
        if batch < 1:
            raise ValueError(f"batch is {batch}, expected at least 1")
        drawn = []
        missing = batch
        while missing > 0:
            emoji, place = self._arrange(rng, 2 * batch)
            fits = _SPLIT_OF[self._key(emoji, place)] == SPLITS.index(split)
            drawn.append((emoji[fits], place[fits]))
            missing -= int(fits.sum())
        emoji, place = (np.concatenate(parts)[:batch] for parts in zip(*drawn, strict=True))
        return EmojiBatch(self._render(rng, emoji, place), **self._caption(emoji), emoji=emoji)

    def decode(self, words: ArrayLike) -> str:
        """Return a caption as text, up to its ``<end>``."""
        words = np.asarray(words)
        ends = np.flatnonzero(words == 0)
        return " ".join(self.vocabulary[i] for i in words[: ends[0] if ends.size else None])

    def region_cells(self, height: int, width: int) -> NDArray[np.int64]:
        """Return the cell in which the middle of each region of a feature map lies.

        Parameters
        ----------
        height, width : int
            Of the map.

        Returns
        -------
        ndarray, shape (height * width,)
        """
        row, column = ((2 * np.arange(n) + 1) * self.config.grid // (2 * n)
                       for n in (height, width))
        return (row[:, None] * self.config.grid + column).ravel()

    def looks_right(self, looked: ArrayLike, batch: EmojiBatch,
                    shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Return for each word whether the region looked at lies in the cell of its emoji.

        Parameters
        ----------
        looked : array_like of int, shape (B, T)
            The region that was read before each word, or had the largest weight.
        batch : EmojiBatch
        shape : pair of int
            Height and width of the feature map, whose regions count row by row.

        Returns
        -------
        ndarray of bool, shape (B, T)
            False also for words that belong to no cell. ``batch.telling`` says which words count.

        Raises
        ------
        ValueError
            If the shape of `looked` does not fit.

        Examples
        --------
        >>> tasks = EmojiCaptions(EmojiConfig(emoji=40))
        >>> batch = tasks.sample(np.random.default_rng(0), 2)
        >>> right = tasks.looks_right(np.zeros_like(batch.captions), batch, (4, 4))
        >>> bool((right == (batch.cell == 0)).all())
        True
        """
        looked = np.asarray(looked)
        if looked.shape != batch.cell.shape:
            raise ValueError(f"looked has shape {looked.shape}, expected {batch.cell.shape}")
        return (batch.cell >= 0) & (self.region_cells(*shape)[looked] == batch.cell)

    def _arrange(self, rng: np.random.Generator, n: int) -> tuple[NDArray, NDArray]:
        """Return emoji (n, cells), -1 for none, and of each index of size, y, x: (n, cells, 3)."""
        config, cells = self.config, self.config.grid**2
        number = rng.integers(config.least, cells + 1, size=(n, 1))
        rank = rng.permuted(np.tile(np.arange(cells), (n, 1)), axis=1)
        emoji = rng.permuted(np.tile(np.arange(len(self.names)), (n, 1)), axis=1)[:, :cells]
        size = rng.integers(len(config.sizes), size=(n, cells))
        room = config.cell + 1 - np.array(config.sizes)[size]
        y, x = (np.floor(rng.random((n, cells)) * room).astype(np.int64) for _ in range(2))
        return np.where(rank < number, emoji, -1), np.stack([size, y, x], axis=-1)

    def _key(self, emoji: NDArray, place: NDArray) -> NDArray:
        """Return for each image the number that decides its split."""
        key = np.where(emoji >= 0, emoji, 0).sum(1)
        if self.config.grid == 1:
            # placements are numbered without a gap, so that each emoji has some in every split
            size, y, x = place[:, 0].T
            room = self.config.cell + 1 - np.array(self.config.sizes)
            key += (np.cumsum(room**2) - room**2)[size] + y * room[size] + x
        return key % len(_SPLIT_OF)

    def _render(self, rng: np.random.Generator, emoji: NDArray,
                place: NDArray) -> NDArray[np.float32]:
        config, n = self.config, len(emoji)
        size, y, x = np.moveaxis(place, -1, 0)
        at = self._margin + np.arange(config.cell)
        rows, columns = at - y[..., None], at - x[..., None]
        pixels = self._drawings[emoji[..., None, None], size[..., None, None],
                                rows[..., :, None], columns[..., None, :]]
        pixels = pixels.reshape(n, config.grid, config.grid, config.cell, config.cell, 4)
        pixels = pixels.transpose(0, 5, 1, 3, 2, 4).reshape(n, 4, *self.image_shape[1:])

        # light colours, so that dark emoji can be seen; drawings are multiplied by their opacity
        ground = rng.uniform(0.5, 1, size=(n, 3, 1, 1)).astype(np.float32)
        images = pixels[:, :3] + (1 - pixels[:, 3:]) * ground
        images += np.float32(config.noise) * rng.standard_normal(images.shape, np.float32)
        return np.clip(images, 0, 1)

    def _caption(self, emoji: NDArray) -> dict[str, NDArray]:
        words = self._words[emoji]
        cell = np.where(words == 1, -1, np.arange(emoji.shape[1])[:, None])
        words, cell, telling = (a.reshape(len(emoji), -1)
                                for a in (words, cell, self._telling[emoji]))

        # what is not a word moves behind what is
        lengths = (words >= 0).sum(1)
        order = np.argsort(words < 0, axis=1, kind="stable")[:, : lengths.max()]
        words, cell, telling = (np.take_along_axis(a, order, axis=1)
                                for a in (words, cell, telling))

        # each name has a comma behind it: the last one becomes the end
        behind = np.arange(words.shape[1]) >= lengths[:, None] - 1
        return {"captions": np.where(behind, 0, words), "lengths": lengths,
                "cell": np.where(behind, -1, cell), "telling": telling}


def find_font(font: str | Path | None = None) -> Path:
    """Return the file of Noto Color Emoji.

    Parameters
    ----------
    font : path, optional
        Where it is; by default the usual folders are searched.

    Raises
    ------
    UserError
        If it is not there; the message says how to get it.
    """
    if font is not None:
        if not Path(font).is_file():
            raise UserError(f"font is '{font}', expected the file {FONT}")
        return Path(font)
    for folder in _FOLDERS:
        for path in sorted(Path(folder).expanduser().rglob(FONT)):
            return path
    raise UserError(f"no font {FONT} was found: install it (on Debian and Ubuntu, "
                    "apt install fonts-noto-color-emoji) or give its file as font")


@functools.lru_cache(maxsize=8)
def _draw(font: Path, sizes: tuple[int, ...]) -> tuple[list[str], list[str], list[NDArray]]:
    """Return characters and names of all emoji, by name, and their drawings at each size.

    A drawing is of uint8, (size, size, 4), colours multiplied by opacity. Only emoji of one code
    point; those that the font does not know, blank, are left out.
    """
    emoji = require("emoji", install=_INSTALL)
    image, draw, fonts = (require(f"PIL.{part}", install=_INSTALL)
                          for part in ("Image", "ImageDraw", "ImageFont"))
    try:
        face = fonts.truetype(str(font), _FONT_SIZE)
    except OSError as error:
        raise UserError(f"font '{font}' cannot be used: {error}; expected {FONT}, with bitmaps of "
                        f"{_FONT_SIZE} pixels") from None
    if face.getname()[0] != "Noto Color Emoji":
        raise UserError(f"font '{font}' is {face.getname()[0]}, expected Noto Color Emoji")

    found = {}
    for character, entry in emoji.EMOJI_DATA.items():
        if len(character) > 1 or entry["status"] == emoji.STATUS["component"]:
            continue
        canvas = image.new("RGBA", (_CANVAS, _CANVAS))
        draw.Draw(canvas).text((_CANVAS // 2, _CANVAS // 2), character, font=face, anchor="mm",
                               embedded_color=True)
        if canvas.getbbox() is None:
            continue
        picture = canvas.convert("RGBa")
        found[_name(entry["en"])] = (character, [
            np.asarray(picture.resize((size, size), image.Resampling.BOX)) for size in sizes])
    names = sorted(found)
    drawings = [np.stack([found[name][1][i] for name in names]) for i in range(len(sizes))]
    return [found[name][0] for name in names], names, drawings


def _name(entry: str) -> str:
    """Return ``a button blood type`` for ``:A_button_(blood_type):``."""
    return entry.strip(":").replace("_", " ").translate(str.maketrans("", "", "(),!")).lower()
