"""Random arguments for every function of _core: refused in words, or computed; never a crash.

Run as ``python fuzz.py TURNS SEED [NAME]``.
"""

import sys

from calls import FUNCTIONS, Caller

turns, seed = int(sys.argv[1]), int(sys.argv[2])
for name in sys.argv[3:] or FUNCTIONS:
    print(name, end=" ", flush=True)  # the last name before a crash is its place
    caller = Caller(name, seed)
    for _ in range(turns):
        refusal = caller.call()
        if refusal is not None and caller.rng.random() < 0.97 and caller.repair(refusal):
            continue
        for _ in range(caller.rng.integers(1, 3)):
            caller.spoil()
    print(caller.accepted, caller.refused, flush=True)
    assert caller.accepted > turns / 200, f"{name}: too few calls came through"
    assert caller.refused > turns / 20, f"{name}: too few calls were refused"
