"""Memory of attention over a long text: a process of its own, and how far its peak rises."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

CHILD = """
import json, resource, sys
import numpy as np
from gatelearn import functional as F

def peak():
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale

T, D = {T}, {D}
q, k, v, dout = np.random.default_rng(0).standard_normal((4, 1, 1, T, D), np.float32)
F.attention_backward(*(a[:, :, :64] for a in (dout, q, k, v)),
                     *F.attention(*(a[:, :, :64] for a in (q, k, v)), return_lse=True))
before = peak()
out, lse = F.attention(q, k, v, is_causal=True, return_lse=True)
forward = peak()
grads = F.attention_backward(dout, q, k, v, out, lse, is_causal=True)
results = out.nbytes + lse.nbytes
print(json.dumps({{"inputs": 4 * q.nbytes, "forward": forward - before - results,
                  "both": peak() - before - results - 3 * q.nbytes}}))
"""


def row(threads: int, quick: bool) -> dict[str, Any]:
    """Return bytes beyond inputs and outputs, forward and with backward."""
    T, D = (4096 if quick else 65536), 64
    # -P: from the root of the source tree, too, the installed module is meant
    done = subprocess.run([sys.executable, "-P", "-c", CHILD.format(T=T, D=D)], check=True,
                          stdout=subprocess.PIPE, text=True)
    seen = json.loads(done.stdout)
    return {
        "group": "memory", "name": f"B1 H1 T{T} D{D} causal", "threads": threads, "ms": {},
        "ratio": {}, "bytes": seen,
        # the matrix of scores, which is never held
        "score_matrix_bytes": 4 * T * T,
        "note": f"beyond inputs and outputs: {max(seen['forward'], 0) / 1e6:.1f} MB forward, "
                f"{max(seen['both'], 0) / 1e6:.1f} MB with backward; "
                f"the scores alone would be {4e-6 * T * T:.0f} MB",
    }
