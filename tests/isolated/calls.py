"""Calls of the functions of _core that nobody wrote: arguments by name, repaired by the messages.

The first arguments are random and refused. Every refusal names an argument and what was expected,
so doing what it says leads, after some calls, to one that passes. Each array lies in a larger block
of memory; whatever is written outside of the array shows.
"""

import inspect
import re

import numpy as np
from numpy.lib.stride_tricks import as_strided

from gatelearn import _core

# settings, and what opens a file
NOT_KERNELS = {"get_num_threads", "set_num_threads", "get_isa", "default_blas", "load_blas"}
FUNCTIONS = {name: list(inspect.signature(f).parameters)
             for name, f in vars(_core).items()
             if callable(f) and not name.startswith("_") and name not in NOT_KERNELS}
REFUSALS = (TypeError, ValueError, IndexError, FloatingPointError, MemoryError, OverflowError)
MARK = 0xA5


class Block:
    """An array with marked memory around it and between its rows."""

    def __init__(self, rng, shape, dtype, strided=False):
        dtype = np.dtype(dtype)
        strides, step = [], dtype.itemsize
        for n in reversed(shape):
            strides.insert(0, step)
            step *= max(n, 1)
            if strided and rng.random() < 0.3:
                step += int(rng.integers(1, 4)) * dtype.itemsize
        self.memory = np.full(step + 512, MARK, np.uint8)
        self.inside = np.zeros(len(self.memory), bool)
        item = self.memory[256:256 + dtype.itemsize]
        self.array = as_strided(item.view(dtype), shape, strides) if dtype.itemsize else None
        as_strided(self.inside[256:], (*shape, dtype.itemsize), (*strides, 1))[...] = True
        fill = rng.standard_normal(shape) if rng.random() < 0.9 else rng.choice(
            [np.nan, np.inf, -np.inf, 1e30, 0], shape)
        if dtype.kind in "iu":
            some = [0, 0, 0, 1, 1, 2, 3] if rng.random() < 0.9 else [-1, 7, 2**62]
            fill = rng.choice(some, shape)
        with np.errstate(all="ignore"):
            self.array[...] = np.asarray(fill).astype(dtype, casting="unsafe")

    def intact(self):
        return bool((self.memory[~self.inside] == MARK).all())


class Caller:
    """Arguments of one function, from refused to accepted."""

    def __init__(self, name, seed=0):
        self.name, self.function = name, getattr(_core, name)
        self.names = FUNCTIONS[name]
        self.rng = np.random.default_rng(seed)
        self.real = np.float32
        self.blocks = {}
        self.args = dict.fromkeys(self.names)
        self.accepted = self.refused = 0

    def put(self, name, shape, dtype, strided=False):
        self.blocks[name] = Block(self.rng, tuple(int(n) for n in shape), dtype, strided)
        self.args[name] = self.blocks[name].array

    def size(self):
        return int(self.rng.choice([0, 1, 1, 2, 2, 3, 4, 5, 17, 130],
                                   p=[.05, .1, .1, .15, .15, .15, .1, .1, .07, .03]))

    def call(self):
        """Call once; return the refusal, or None where the call passed."""
        try:
            self.function(*self.args.values())
            refusal = None
        except REFUSALS as e:
            refusal = e
        for name, block in self.blocks.items():
            assert block.intact(), f"{self.name} wrote outside of {name}"
        self.accepted += refusal is None
        self.refused += refusal is not None
        return refusal

    def repair(self, refusal):
        """Do what the message says. Return whether it said something that is understood."""
        text = str(refusal)
        assert text.startswith(f"{self.name}: ") or "truth value" in text, (
            f"{self.name}: {type(refusal).__name__}: {text}")
        text = text.removeprefix(f"{self.name}: ")
        name = re.match(r"\w+", text)[0]
        has = self.args.get(name)
        shape = has.shape if isinstance(has, np.ndarray) else (self.size(),)
        if "truth value" in text:
            flags = {"inverse", "is_causal", "linear", "relu", "reverse", "transposed",
                     "weigh_context"}
            for n in self.args.keys() & flags:
                self.args[n] = True
        elif m := re.search(r"sum of (?:widths is \d+, expected )?D = (\d+)$", text):
            columns = max(int(m[1]), 1)
            if columns > int(m[1]):
                self.put("features", (2, columns), self.real)
            models = min(len(self.args["widths"]), columns)
            self.put("widths", (models,), np.int64)
            self.args["widths"][...] = [columns - models + 1] + [1] * (models - 1)
        elif "a model to weigh" in text:
            self.blocks.pop("present", None)
            self.args["present"], self.args["weigh_context"] = None, True
        elif m := re.search(r"shape\[(\d+)\] is \d+, expected [\w ]+ = (\d+)$", text):
            shape = [int(m[2]) if d == int(m[1]) else n for d, n in enumerate(shape)]
            self.put(name, shape, has.dtype)
        elif m := re.search(r"shape\[\d+\] is (\d+), expected (\d+(, \d+)*( or \d+)?)$", text):
            # a size that stands for itself: everywhere
            size = int(self.rng.choice(re.findall(r"\d+", m[2])))
            for n, value in self.args.items():
                if isinstance(value, np.ndarray) and int(m[1]) in value.shape:
                    self.put(n, [size if s == int(m[1]) else s for s in value.shape], value.dtype)
        elif name in self.args and (m := re.search(
                r"is -?\d+, expected (?:(\d+) to (\d+)|at least (\d+))$", text)):
            # a size of one axis, or a number, within bounds
            low = int(m[1] or m[3])
            n = int(self.rng.integers(low, min(int(m[2] or low + 2), low + 2) + 1))
            if axis := re.search(r"shape\[(\d+)\]", text):
                self.put(name, [n if d == int(axis[1]) else s for d, s in enumerate(shape)],
                         has.dtype)
            else:
                self.args[name] = n
        elif m := re.search(r"dimensions, expected (\d+)", text):
            self.put(name, [self.size() for _ in range(int(m[1]))], has.dtype)
        elif "expected a NumPy array" in text:
            self.put(name, shape, self.real)
        elif m := re.search(r"has dtype .*, expected (\w+)( or \w+)?", text):
            dtype = self.real if m[1] == "float32" and m[2] else m[1]
            if m[1] in ("float32", "float64"):
                self.real = dtype
            self.put(name, shape, dtype)
        elif "finite scores" in text:
            # whichever it is: no key, one that is hidden, a score that is not finite
            for n in ("mask", "key_lengths"):
                self.blocks.pop(n, None)
                self.args[n] = None
            for n in ("query", "key"):
                self.put(n, [max(size, 1) for size in self.args[n].shape], self.real)
                self.args[n][...] = 0.5
            self.args["scale"] = 0.25
        elif re.search(r"None\b|both given", text):
            for n in re.findall(r"\w+", text):
                if n in self.args:
                    self.blocks.pop(n, None)
                    self.args[n] = None
        elif isinstance(has, np.ndarray) and not re.search("a number|an integer", text):
            self.put(name, shape, has.dtype.newbyteorder("="))
            if "at row" in text and has.dtype.kind in "iu":
                self.args[name][...] = np.arange(shape[-1]) if "twice" in text else 0
            elif "at row" in text:
                self.args[name][...] = 0.5
        elif name in self.args:
            self.blocks.pop(name, None)
            self.args[name] = 1 if "integer" in text or "at least" in text else 0.25
        else:
            return False
        return True

    def settle(self, turns=80):
        """Repair until a call passes; False where the turns do not suffice."""
        for _ in range(turns):
            refusal = self.call()
            if refusal is None:
                return True
            if not self.repair(refusal):
                self.spoil()
        return False

    def spoil(self):
        """Make one argument something else."""
        rng, name = self.rng, self.names[self.rng.integers(len(self.names))]
        has = self.args[name]
        shape = has.shape if isinstance(has, np.ndarray) else (self.size(), self.size())
        dtype = has.dtype if isinstance(has, np.ndarray) else self.real
        others = [a for a in self.args.values() if isinstance(a, np.ndarray)]
        kind = rng.integers(12)
        if kind == 0:
            self.put(name, [self.size() for _ in range(rng.integers(0, 6))], dtype)
        elif kind == 1:
            self.put(name, shape, rng.choice(["f4", "f8", "i8", "i4", "u1", "?", "f2", "c16", ">f8",
                                              "g", "u8", "i2"]))
        elif kind == 2:
            self.put(name, [self.size() if rng.random() < 0.4 else n for n in shape], dtype)
        elif kind == 3:
            self.put(name, shape, dtype, strided=True)
        elif kind == 4 and others:
            other = others[rng.integers(len(others))]  # the same memory, or part of it
            part = rng.random() < 0.5 and other.ndim
            self.args[name] = other[rng.integers(0, 2):] if part else other
        elif kind == 5 and isinstance(has, np.ndarray) and has.ndim:
            axis = rng.integers(has.ndim)
            self.args[name] = [np.flip(has, axis), has.T, np.swapaxes(has, 0, axis),
                               as_strided(has, has.shape, (0, *has.strides[1:])),
                               has.view(np.matrix) if has.ndim == 2 else has][rng.integers(5)]
        elif kind == 6:
            self.put(name, shape, dtype)
            self.args[name].flags.writeable = False
        elif kind == 7:
            self.args[name] = [None, "text", 1, 2**70, -1, 0.0, np.nan, np.inf, 1e300, True, [1.0],
                               object(), np.float32(2), np.int64(3), 1j, b"", {}][rng.integers(17)]
        elif kind == 8 and isinstance(has, np.ndarray) and has.dtype.kind == "f":
            self.put(name, shape, dtype)
            with np.errstate(all="ignore"):
                self.args[name][...] = rng.choice([np.nan, np.inf, -np.inf, 1e38, -1e-40, 0.0])
        elif kind == 9 and isinstance(has, np.ndarray) and has.dtype.kind in "iu":
            self.put(name, shape, dtype)
            self.args[name][...] = rng.choice(np.array([-1, 0, 1, 127, 200, 255])).astype(dtype)
        elif kind == 10:
            self.real = np.float64 if self.real == np.float32 else np.float32
        else:
            for n, value in list(self.args.items()):  # all anew, of other sizes
                if isinstance(value, np.ndarray):
                    self.put(n, [self.size() for _ in value.shape], value.dtype)
        if not isinstance(self.args[name], np.ndarray):
            self.blocks.pop(name, None)
