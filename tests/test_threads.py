"""Python threads side by side, forks, and the number of threads."""

import os
import threading

import numpy as np
import pytest
from attention_cases import backward, case, forward
from gated_cases import all_same_bits, built, inputs, run
from helpers import same_bits
from processes import run_python
from test_decode import heads_case, step

import gatelearn as gl
from gatelearn import functional as F
from gatelearn import nn

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")


def test_eight_threads_at_once_get_what_one_gets():
    """Layers are shared, gradients and caches apart: forward passes, attention and steps."""
    heads, mlp = built(nn.GatedHeads(16, 4), np.float32), built(nn.GatedMLP(16, 70), np.float32)
    cases = [case(i, np.float32, 2, 2, 100 + i, 140, 8, 8, is_causal=i % 2 == 0, gate="mixed")
             for i in range(8)]
    args = [inputs(heads, 3, 50 + i, np.float32, seed=i) for i in range(8)]
    decoder = nn.GatedHeads(16, 4)
    steps = [heads_case(decoder, 3, 2, [200 + i, 0, 7], np.float32) for i in range(8)]
    x = np.random.default_rng(0).standard_normal((500, 33))
    w = np.ones(33)

    def work(i):
        hidden, _ = heads.forward(*args[i][:3], save=False)
        y, _ = mlp.forward(hidden, None, args[i][2])
        new, _, *rest = steps[i]
        return [y, *forward(cases[i]), *backward(cases[i]), *step(decoder, new, *rest),
                F.layer_norm(x + i, w, w)]

    with gl.num_threads(1):
        expected = [work(i) for i in range(8)]
    failures = []
    start = threading.Barrier(8)

    def repeat(i):
        try:
            start.wait(30)
            for _ in range(15):
                for a, e in zip(work(i), expected[i], strict=True):
                    same_bits(a, e)
        except BaseException as e:
            failures.append(e)

    with gl.num_threads(4):
        threads = [threading.Thread(target=repeat, args=(i,), daemon=True) for i in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(60)
            assert not t.is_alive(), "a thread hangs"
    if failures:
        raise failures[0]


def test_each_thread_may_train_its_own_layer():
    def results(i):
        layer = built((nn.GatedHeads(12, 3) if i % 2 else nn.GatedMLP(12, 30)), seed=i)
        return run(layer, *inputs(layer, 4, 60, seed=i))

    expected = [results(i) for i in range(4)]
    got = [None] * 4

    def work(i):
        for _ in range(10):
            got[i] = results(i)

    threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
        assert not t.is_alive(), "a thread hangs"
    for a, e in zip(got, expected, strict=True):
        all_same_bits(a, e)


FORK = """
    import copy, os, sys, threading, time, warnings
    import numpy as np
    import gatelearn as gl
    from attention_cases import case, forward
    from gatelearn import functional as F, nn
    from test_decode import heads_case, step
    warnings.simplefilter("ignore", DeprecationWarning)  # of a fork while there are threads
    c = case(0, np.float32, 4, 4, 300, 300, 16, 16, is_causal=True)
    saved = forward(c)
    layer = nn.GatedHeads(64, 4)
    x, _, cache, *rest = heads_case(layer, 8, 2, [600, 0, 3, 256, 40, 500, 1, 300], np.float32)
    kernel = {
        "attention": lambda: forward(c),
        "attention_backward": lambda: F.attention_backward(c.dout, *c.inputs, *saved, **c.options),
        "decode_heads": lambda: step(layer, x, copy.copy(cache), *rest),
    }[sys.argv[1]]

    def results():
        return [a.tobytes() for a in kernel() if a is not None]

    with gl.num_threads(1):
        expected = results()
    gl.set_num_threads(4)

    def right():
        return results() == expected

    def forked(inside=right):
        "Fork, compute in the child, and see it exit with 0 within 30 seconds."
        child = os.fork()
        if child == 0:
            os._exit(0 if inside() else 1)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                assert os.waitstatus_to_exitcode(status) == 0
                return
            time.sleep(0.005)
        os.kill(child, 9)
        os.waitpid(child, 0)
        sys.exit("the child hangs")
"""


@pytest.fixture(params=["attention", "attention_backward", "decode_heads"])
def run_fork(request):
    return lambda code: run_python(FORK + code, request.param, timeout=100)


@needs_fork
def test_a_fork_while_the_pool_sleeps_computes_right(run_fork):
    run_fork("""
    assert right()
    time.sleep(0.1)
    for _ in range(3):
        forked()
        assert right()
    """)


@needs_fork
def test_a_fork_right_after_a_call_computes_right(run_fork):
    run_fork("""
    for _ in range(10):
        assert right()
        forked()
    """)


@needs_fork
def test_a_fork_during_a_call_of_another_thread_computes_right(run_fork):
    run_fork("""
    stop, wrong, inside = False, [], [False, False]
    def call(i):
        while not stop:
            inside[i] = True
            was_right = right()
            inside[i] = False
            if not was_right:
                wrong.append(1)
    threads = [threading.Thread(target=call, args=(i,)) for i in range(2)]
    for t in threads:
        t.start()
    during = 0
    while during < 20:
        during += any(inside)
        forked()
    stop = True
    for t in threads:
        t.join(30)
        assert not t.is_alive()
    assert not wrong and right()
    """)


@needs_fork
def test_a_child_may_fork_and_change_the_number_of_threads(run_fork):
    run_fork("""
    def inside():
        if not right():
            return False
        gl.set_num_threads(7)
        forked()
        results = []
        t = threading.Thread(target=lambda: results.append(right()))
        t.start()
        t.join(30)
        return results == [True] and gl.get_num_threads() == 7
    assert right()
    forked(inside)
    assert right() and gl.get_num_threads() == 4
    """)


@needs_fork
def test_multiprocessing_workers_compute_right(run_fork):
    run_fork("""
    import multiprocessing
    def task(i):
        return right()
    assert right()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map_async(task, range(6)).get(60) == [True] * 6
    """)


def test_a_signal_reaches_the_main_thread_not_a_worker():
    """Ctrl-C interrupts a sleep at once, though workers exist."""
    run_python("""
        import os, signal, threading, time
        import numpy as np
        import gatelearn as gl
        from gatelearn import functional as F
        gl.set_num_threads(4)
        # a job in the background may have been started with the signal ignored
        signal.signal(signal.SIGINT, signal.default_int_handler)
        x = np.ones((4, 4, 300, 16))
        F.attention(x, x, x)
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        start = time.monotonic()
        try:
            time.sleep(20)
        except KeyboardInterrupt:
            pass
        assert time.monotonic() - start < 10
        F.attention(x, x, x)
    """)


def test_the_interpreter_exits_while_workers_spin():
    for _ in range(3):
        run_python("""
            import numpy as np
            import gatelearn as gl
            from gatelearn import functional as F
            gl.set_num_threads(8)
            x = np.ones((4, 4, 100, 4))
            F.attention(x, x, x)
        """, timeout=30)


@pytest.mark.parametrize("n, kind, message", [
    (0, ValueError, "set_num_threads: n is 0, expected 1 to 128"),
    (-1, ValueError, "set_num_threads: n is -1, expected 1 to 128"),
    (129, ValueError, "set_num_threads: n is 129, expected 1 to 128"),
    (2**70, ValueError, "set_num_threads: n is 1180591620717411303424, expected 1 to 128"),
    (1.5, TypeError, "set_num_threads: n is float, expected an integer"),
    ("2", TypeError, "set_num_threads: n is str, expected an integer"),
    (None, TypeError, "set_num_threads: n is NoneType, expected an integer"),
])
def test_numbers_of_threads_that_are_refused(n, kind, message):
    before = gl.get_num_threads()
    with pytest.raises(kind, match=message):
        gl.set_num_threads(n)
    with pytest.raises(kind, match=message), gl.num_threads(n):
        pass
    assert gl.get_num_threads() == before


def test_the_number_of_threads_returns_after_the_block():
    before = gl.get_num_threads()
    with pytest.raises(KeyError), gl.num_threads(3):
        assert gl.get_num_threads() == 3
        with gl.num_threads(np.int64(128)):
            assert gl.get_num_threads() == 128
        assert gl.get_num_threads() == 3
        raise KeyError
    assert gl.get_num_threads() == before


@pytest.mark.parametrize("value, threads", [("1", 1), ("3", 3), ("999", 128)])
def test_the_environment_sets_the_number_of_threads(value, threads):
    printed = run_python("import gatelearn as gl; print(gl.get_num_threads())",
                         GATELEARN_NUM_THREADS=value)
    assert int(printed) == threads


@pytest.mark.parametrize("value", ["0", "-2", "many", "1.5", "²"])
def test_a_number_of_threads_in_the_environment_that_is_refused(value):
    printed = run_python("""
        try:
            import gatelearn
        except ImportError as e:
            print(e)
    """, GATELEARN_NUM_THREADS=value, PYTHONIOENCODING="utf-8", PYTHONUTF8="1")
    assert printed.strip() == (f"GATELEARN_NUM_THREADS is '{value}', expected a positive integer")


def test_an_unknown_blas_is_refused():
    printed = run_python("""
        try:
            import gatelearn
        except ImportError as e:
            print(e)
    """, GATELEARN_BLAS="mkl")
    assert printed.strip() == "GATELEARN_BLAS is 'mkl', expected vendored, system or none"
