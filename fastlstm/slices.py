"""A layer over one slice of the steps after the other, where nothing but its outputs is kept.

What it takes beside inputs and outputs, inputs in reverse order or hidden states that are to be projected, is then only
as large as a slice.
"""

from collections.abc import Sequence

from fastlstm import layer
from fastlstm.cell import Cell, Passed
from fastlstm.checks import Array
from fastlstm.layer import BEHIND, Job
from fastlstm.rows import Rows
from fastlstm.workspace import fresh, kept

BYTES = 1 << 20
"""Of inputs and hidden states of a slice, at most."""

ROWS = 1024
"""Rows of a slice, at least, whatever bytes they have: to begin one takes as long as some of them."""


def forwards(
    cells: Sequence[Cell], rows: Rows, x: Array, h: Array, c: Array, n_threads: int | None
) -> list[Passed]:
    """Run a layer over all steps.

    Parameters
    ----------
    cells : sequence of Cell
        The one forwards, and the one backwards if there is one.
    rows : Rows
    x : (N, input) array
    h, c : (directions, batch, H or P) and (directions, batch, H) arrays
        Initial states, in the order of the rows; not changed.
    n_threads : int or None
        At most so many threads.

    Returns
    -------
    list of Passed
        One for each cell; a reverse one's outputs have the rows of each sequence from its end.
    """
    jobs: list[Job] = []
    parts = rows.parts(max(ROWS, BYTES // (len(cells) * (x.shape[1] + c.shape[2]) * x.itemsize)))
    if len(parts) == 1:
        for k, cell in enumerate(cells):
            jobs.append(cell.job(rows, rows.reversed(x) if k else x, h[k], c[k], None, n_threads))
        runs = layer.forwards(jobs, rows.offsets, False, n_threads)
        return [cell.result(rows, runs[k], h[k], False, n_threads) for k, cell in enumerate(cells)]
    found = [Passed(fresh("outputs", (len(x), cell.output_size), x.dtype), h[k], c[k]) for k, cell in enumerate(cells)]
    hidden: list[Array] = []
    end = 0
    for part in parts:
        own = slice(end, end + int(part.offsets[-1]))
        end = own.stop
        for k, cell in enumerate(cells):
            given = rows.reversed(x, own) if k else x[own]
            if hidden:
                jobs[k] = cell.next_job(jobs[k], given, hidden[k], found[k].c)
            else:
                job = cell.job(part, given, h[k], c[k], None, n_threads)
                jobs.append(job._replace(panels=job.weights.panels(1, "panels" + BEHIND[k])))
        runs = layer.forwards(jobs, part.offsets, False, n_threads, results=kept)
        hidden = [part.last(run.hidden).copy() for run in runs]
        for k, cell in enumerate(cells):
            passed, output = cell.result(part, runs[k], found[k].h, False, n_threads), found[k].output
            output[own] = passed.output
            found[k] = passed._replace(output=output)
    return found
