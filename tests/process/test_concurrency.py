"""Python threads and forked processes that use the kernels at once get the right bits: no abort, no hang."""

import pytest

from tests.tools.helpers import JIT_OFF
from tests.tools.layers import FORK, LAYERS, forks, layer_or_skip
from tests.tools.processes import run

pytestmark = [
    pytest.mark.process, pytest.mark.skipif(JIT_OFF, reason="kernels in plain Python use no threading layer")
]

COMMON = """
import sys, threading, time, warnings
import numba, numpy
import fastlstm
from fastlstm.engine import cores
from tests.tools.claims import ALONE, SHARED, noted
from tests.tools.threads import use_all_of_numbas

use_all_of_numbas()

# Each call has work for several workers: by rows, by units, and, for more than 9 steps, one for each direction.
SHAPES = {(5, 16): 48, (4, 1): 200, (40, 1): 47}

def arrays(steps, batch, seed=0):
    return numpy.random.default_rng(seed).standard_normal((steps, batch, 33)).astype("float32")

def make(shape, **settings):
    return fastlstm.nn.LSTM(33, SHAPES[shape], bidirectional=shape[0] > 9, seed=1, **settings)

def train(layer, x):
    layer.zero_grad()
    y, state, tape = layer.forward(x)
    dx, d_state = layer.backward(tape, y, state)
    return [y, dx, *d_state, layer.gradients.flat.copy()]

def step_through(layer, x):
    if layer.bidirectional:
        return layer(x[::-1])[0]
    step = layer.stepper(x.shape[1])
    return numpy.stack([step(row).copy() for row in x])

def results(shape, **settings):
    layer, x = make(shape, **settings), arrays(*shape)
    return [layer(x)[0], step_through(layer, x), *train(layer, x)]

def same(found, wanted):
    return all(numpy.array_equal(a, b) for a, b in zip(found, wanted, strict=True))

used = []  # numbers of workers of all calls
useful = cores.useful

def spying(n_threads, flops):
    used.append(useful(n_threads, flops))
    return used[-1]

fastlstm.engine.level.useful = cores.useful = spying

def check_all():
    for shape, wanted in WANTED.items():
        assert same(results(shape), wanted)

WANTED = {shape: results(shape, n_threads=1) for shape in SHAPES}
assert set(used) == {1}
"""
"""Also computes what is wanted, by one thread, which starts no threading layer."""


@pytest.fixture(scope="module", params=LAYERS)
def chosen(request):
    return layer_or_skip(request.param)


def test_eight_threads_at_once(chosen):
    """Half of them share one layer for inference, half train a layer of their own."""
    run(COMMON + """
shared = {shape: make(shape) for shape in SHAPES}
together, failures, rounds, found_out = threading.Barrier(8), [], [], []

def infer(shape):
    return [shared[shape](arrays(*shape))[0], step_through(shared[shape], arrays(*shape))]

def work(trains):
    try:
        together.wait(30)
        until = time.monotonic() + 1
        while time.monotonic() < until:
            for shape, wanted in WANTED.items():
                found = train(make(shape), arrays(*shape)) if trains else infer(shape)
                assert same(found, wanted[2:] if trains else wanted[:2]), (shape, trains)
                found_out.append(noted())
            rounds.append(trains)
    except BaseException as error:
        failures.append(error)

threads = [threading.Thread(target=work, args=(k % 2 == 0,), daemon=True) for k in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(60)
    assert not thread.is_alive(), "hung"
assert not failures, failures
assert {True, False} <= set(rounds)
assert SHARED in found_out, "no region had the cores"
assert ALONE in found_out, "no region found them taken"
assert max(used) > 1 or numba.threading_layer() == "workqueue", "no call was to be shared"
""", **chosen)


@forks
def test_a_forked_child(chosen):
    """Before and after the parent has used several threads, and the child's child too."""
    run(COMMON + FORK + """
fork_and_check()
check_all()
assert max(used) > 1
fork_and_check()
check_all()
""", **chosen)


@forks
def test_a_child_forked_while_other_threads_compute(chosen):
    run(COMMON + FORK + """
stop, failures = threading.Event(), []

def work():
    try:
        while not stop.is_set():
            compute()
            found_out.append(noted())
    except BaseException as error:
        failures.append(error)

found_out, compute = [], check_all

def check_all():
    assert noted() == ALONE
    compute()

compute()  # alone, as workqueue is for one thread
assert max(used) > 1
threads = [threading.Thread(target=work, daemon=True) for _ in range(2)]
for thread in threads:
    thread.start()
while SHARED not in found_out:
    time.sleep(0.001)
for _ in range(10):
    fork_and_check()
stop.set()
for thread in threads:
    thread.join(60)
    assert not thread.is_alive(), "hung"
assert not failures, failures
""", **chosen)


@forks
def test_a_child_forked_while_another_thread_compiles():
    """Numba's lock on the compiler would be held for ever in the child."""
    run(FORK + """
import os, threading, time, warnings
import numba, numpy
import fastlstm
from numba.core.compiler_lock import global_compiler_lock

def check_all():
    numba.njit(lambda: 1)()

compiling, go_on = threading.Event(), threading.Event()

def work():
    with global_compiler_lock:
        compiling.set()
        go_on.wait(1)

thread = threading.Thread(target=work, daemon=True)
thread.start()
compiling.wait()
fork_and_check()
go_on.set()
thread.join(60)
check_all()
""")


@forks
@pytest.mark.parametrize("start", ["parallel._launch_threads()", "cores.available()"])
def test_a_child_forked_while_another_thread_starts_numbas(chosen, start):
    """Numba's locks on the threading layer would be held for ever in the child."""
    run(FORK + f"""
import threading
import numpy
import fastlstm
from fastlstm.engine import cores
from numba.np.ufunc import parallel
from tests.tools.threads import use_all_of_numbas

use_all_of_numbas()
starting, go_on = threading.Event(), threading.Event()

class Lock:
    def __enter__(self):
        held.acquire()
        if threading.current_thread() is thread:
            starting.set()
            go_on.wait(1)

    def __exit__(self, *_):
        held.release()

def check_all():
    fastlstm.nn.LSTM(33, 48)(numpy.ones((5, 16, 33)))

def work():
    {start}

thread = threading.Thread(target=work, daemon=True)
assert not parallel._is_initialized
if "available" not in {start!r}:
    check_all()  # from now on the child must do without the layer
held, parallel._backend_init_thread_lock = parallel._backend_init_thread_lock, Lock()
thread.start()
starting.wait()
fork_and_check()
go_on.set()
thread.join(60)
check_all()
assert cores.available() > 1
""", **chosen)


CHILD = COMMON + """
def child(shape, pipe):
    pipe.send_bytes(b"right" if same(results(shape), WANTED[shape]) else b"wrong")

def main():
    import multiprocessing
    context = multiprocessing.get_context(sys.argv[1])
    check_all()
    assert max(used) > 1
    children = []
    for shape in SHAPES:
        ours, theirs = context.Pipe()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
            process = context.Process(target=child, args=(shape, theirs), daemon=True)
            process.start()
        children.append((process, ours))
    for process, pipe in children:
        assert pipe.poll(60), "hung"
        assert pipe.recv_bytes() == b"right"
        process.join(60)
        assert process.exitcode == 0
    check_all()

if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize("method", [pytest.param("fork", marks=forks), "spawn"])
def test_multiprocessing(chosen, method, tmp_path):
    script = tmp_path / "script.py"  # what is spawned reads it once more
    script.write_text(CHILD, "utf-8")
    run(script, method, **chosen)
