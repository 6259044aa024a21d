"""Start: how long a new process takes to import fastlstm, and to its first gradient with and without a cache."""

import os
import statistics
import subprocess
import sys
import tempfile

IMPORT = "import fastlstm"
GRADIENT = """
import numpy, fastlstm
layer = fastlstm.nn.LSTM(32, 64, seed=0)
output, _, tape = layer.forward(numpy.ones((10, 4, 32), numpy.float32))
layer.backward(tape, output)
"""


def seconds(statements, cache):
    """Of the statements in a new process: its own clock, so that the interpreter's start is not counted."""
    program = f"import time\nstart = time.perf_counter()\n{statements}\nprint(time.perf_counter() - start)"
    # Kernels would be read beside the package too.
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache, "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator"}
    # As the benchmarks find fastlstm, so does the new process.
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    run = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=cache, stdout=subprocess.PIPE, text=True, check=True
    )
    return float(run.stdout)


class Start:
    """Seconds from import to the first gradient of a float32 layer."""

    version = "1"
    timeout = 300

    def setup_cache(self):
        # The start that fills a cache is the cold one: measured here, nothing is compiled twice.
        cache = tempfile.mkdtemp(dir=os.getcwd())
        return cache, seconds(GRADIENT, cache)

    setup_cache.timeout = 300

    def track_import(self, found):
        return self._again(IMPORT, found)

    track_import.pretty_name = "import"
    track_import.unit = "seconds"

    def track_warm(self, found):
        return self._again(GRADIENT, found)

    track_warm.pretty_name = "import to first gradient, kernels cached"
    track_warm.unit = "seconds"

    def track_cold(self, found):
        return found[1]

    track_cold.pretty_name = "import to first gradient, kernels compiled"
    track_cold.unit = "seconds"

    def _again(self, statements, found):
        return statistics.median(seconds(statements, found[0]) for _ in range(3))
