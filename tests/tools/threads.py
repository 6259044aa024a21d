"""More threads than cores."""

import numba

from fastlstm.engine import cores


def use_all_of_numbas() -> None:
    """Calls use as many threads as Numba has by default, whatever number of cores the process may use."""
    cores.own_cores = lambda: numba.config.NUMBA_NUM_THREADS
