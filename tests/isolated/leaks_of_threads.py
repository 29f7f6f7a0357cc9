"""The scratch memory of a Python thread goes with it: threads come and go, memory stays.

Run as ``python leaks_of_threads.py THREADS``.
"""

import resource
import sys
import threading

import numpy as np

import gatelearn as gl
from gatelearn import nn


def peak():
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kib // 1024 if sys.platform == "darwin" else kib


layer = nn.GatedHeads(64, 4).build()
x = np.ones((1, 512, 64), np.float32)  # about a MiB of scratch a thread
y = np.empty_like(x)
gl.set_num_threads(2)


def one():
    t = threading.Thread(target=layer.forward, args=(x,), kwargs=dict(save=False, out=y))
    t.start()
    t.join()


for _ in range(20):
    one()
before = peak()
for _ in range(int(sys.argv[1])):
    one()
grown = peak() - before
assert grown < 32 * 1024, f"{grown} KiB after {sys.argv[1]} threads"
print("nothing is left")
