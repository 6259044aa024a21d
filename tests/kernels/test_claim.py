"""Several cores go to one parallel region at a time, and come back whatever happens to the call."""

import importlib
import signal

import llvmlite.binding as llvm
import pytest

from fastlstm_kernels import claim
from tests.tools.claims import ALONE, SHARED, noted, occupied
from tests.tools.helpers import JIT_OFF
from tests.tools.layers import FORK, LAYERS, forks, layer_or_skip
from tests.tools.processes import run

pytestmark = [
    pytest.mark.process, pytest.mark.skipif(JIT_OFF, reason="kernels in plain Python have no parallel region")
]


def test_a_region_has_the_cores_and_gives_them_back():
    for _ in range(3):
        assert noted() == SHARED
        assert claim.flag.value == claim.FREE


def test_one_worker_claims_nothing():
    claim.flag.value = claim.TAKEN
    assert noted(1) == [1]
    assert claim.flag.value == claim.TAKEN
    claim.flag.value = claim.FREE


def test_a_kernel_beside_another_threads_region_runs_alone():
    with occupied():
        for _ in range(3):
            assert noted() == ALONE
            assert claim.flag.value == claim.TAKEN
    assert noted() == SHARED


def test_what_has_been_compiled_and_a_module_imported_anew_have_one_flag():
    assert noted() == SHARED
    address = llvm.address_of_symbol(claim.NAME)
    try:
        importlib.reload(claim)
        assert llvm.address_of_symbol(claim.NAME) == address
        claim.flag.value = claim.TAKEN
        assert noted() == ALONE
    finally:
        claim.flag.value = claim.FREE


@pytest.fixture(params=LAYERS)
def chosen(request):
    return layer_or_skip(request.param)


def test_kernels_in_a_users_threads_take_turns(chosen):
    run("""
import threading
from tests.tools.claims import ALONE, SHARED, noted

def work():
    together.wait(30)
    found.append([noted() for _ in range(3000)])

found, together, first = [], threading.Barrier(4), noted()
threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(60)
assert len(found) == 4
assert all(each in (ALONE, SHARED) for calls in found for each in calls)
assert sum(calls.count(SHARED) for calls in found) > 0
assert first == noted() == SHARED
""", **chosen)


def test_a_region_wakes_no_more_threads_than_there_are_cores_or_workers(chosen):
    run("""
import numba
from fastlstm_kernels import claim
from tests.tools.claims import awake

for own, most, workers, wanted in [(2, 5, 2, 2), (2, 5, 4, 4), (9, 5, 2, 5), (2, 5, 7, 5), (9, 3, 2, 3), (2, 1, 2, 1)]:
    claim.awake.value = own
    numba.set_num_threads(most)
    assert awake(workers) == workers * [wanted]
    assert numba.get_num_threads() == most
""", **{**chosen, "NUMBA_NUM_THREADS": "5"})


@forks
def test_a_child_forked_beside_a_region(chosen):
    """It can do with neither the cores nor the threading layer; and its own child neither."""
    run(FORK + """
from fastlstm_kernels import claim
from tests.tools.claims import ALONE, SHARED, noted, occupied

def check_all():
    assert claim.flag.value == claim.NEVER
    assert noted() == noted() == ALONE
    if not os.getpid() in generations:
        generations.append(os.getpid())
        if len(generations) < 3:
            fork_and_check()

generations = [os.getpid()]
assert noted() == SHARED
for _ in range(3):
    with occupied():
        fork_and_check()
    fork_and_check()
    assert noted() == SHARED
""", **chosen)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there is no such clock on this system")
@pytest.mark.parametrize("what", ["layer(x)", "train_once()", "step(x[0])", "cores.useful(None, 1 << 40)"])
def test_ctrl_c_at_any_moment_leaves_no_core_taken(what):
    """Nor a lock that another thread would wait for."""
    run(f"""
import signal, threading
import numpy
from fastlstm import nn, train
from fastlstm.engine import cores
from fastlstm_kernels import claim
from tests.tools.claims import SHARED, noted
from tests.tools.threads import use_all_of_numbas

use_all_of_numbas()
layer = nn.LSTM(64, 128, seed=0)
x, optimizer, step = numpy.ones((2, 4, 64), "f4"), train.Adam(1e-6), layer.stepper(4)

def train_once():
    y, _, tape = layer.forward(x)
    layer.backward(tape, y)
    optimizer.step(layer.parameters.flat, layer.gradients.flat)

{what}
rng, interrupts = numpy.random.default_rng(0), 0
signal.signal(signal.SIGALRM, signal.default_int_handler)
for _ in range(300):
    try:
        signal.setitimer(signal.ITIMER_REAL, rng.uniform(2e-4, 2e-3))
        while True:
            {what}
    except KeyboardInterrupt:
        interrupts += 1
assert interrupts == 300
assert claim.flag.value == claim.FREE
assert cores.useful(None, 1 << 40) > 1
assert noted() == SHARED
found = []
thread = threading.Thread(target=lambda: found.append((cores.useful(None, 1 << 40), noted())), daemon=True)
thread.start()
thread.join(60)
assert found == [(cores.useful(None, 1 << 40), SHARED)]
""", NUMBA_NUM_THREADS="4")


BESIDE = """
import threading
import numba, numpy
import fastlstm
from fastlstm.engine import cores
from tests.tools.threads import use_all_of_numbas

use_all_of_numbas()

@numba.njit(parallel=True, nogil=True)
def own(x):
    total = 0.0
    for k in numba.prange(x.shape[0]):
        total += x[k]
    return total

layer, x = fastlstm.nn.LSTM(64, 128, seed=0), numpy.ones((2, 4, 64), "f4")
wanted, numbers = layer(x)[0].copy(), numpy.ones(1000)
many = cores.useful(None, 1 << 40)
assert many > 1, "one thread may use a layer for one thread"
assert own(numbers) == 1000

def work():
    while not stop.is_set():
        own(numbers)

stop = threading.Event()
thread = threading.Thread(target=work, daemon=True)
thread.start()
for _ in range(2000):
    assert (layer(x)[0] == wanted).all()
beside = cores.useful(None, 1 << 40)
stop.set()
thread.join(60)
assert not thread.is_alive()
assert cores.useful(None, 1 << 40) == many
print(many, beside)
"""


def test_a_users_own_parallel_function_in_another_thread(chosen):
    """The threading layer workqueue would end the process; the others run both."""
    many, beside = run(BESIDE, **chosen).split()
    assert (beside == many) == (chosen["NUMBA_THREADING_LAYER"] != "workqueue")
