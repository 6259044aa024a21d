"""Names, shapes and initial values of the parameters of an LSTM."""

from collections.abc import Iterator

import numpy

from fastlstm.checks import Array
from fastlstm.parameters import Buffer
from fastlstm_kernels.gates import GATES

INITIALIZERS = "uniform", "orthogonal"


def suffixes(num_layers: int, directions: int) -> Iterator[str]:
    """What torch's names end with, for each layer and direction in its order."""
    for level in range(num_layers):
        for direction in range(directions):
            yield f"l{level}{'_reverse' if direction else ''}"


def shapes(
    input_size: int, hidden_size: int, num_layers: int, directions: int, proj_size: int, bias: bool
) -> dict[str, tuple[int, ...]]:
    """torch's names in its order, with the shapes."""
    output, rows = proj_size or hidden_size, GATES * hidden_size
    found: dict[str, tuple[int, ...]] = {}
    for suffix in suffixes(num_layers, directions):
        below = input_size if suffix.startswith("l0") else output * directions
        found[f"weight_ih_{suffix}"] = (rows, below)
        found[f"weight_hh_{suffix}"] = (rows, output)
        if bias:
            found[f"bias_ih_{suffix}"] = found[f"bias_hh_{suffix}"] = (rows,)
        if proj_size:
            found[f"weight_hr_{suffix}"] = (proj_size, hidden_size)
    return found


def set_forget_bias(parameters: Buffer, hidden_size: int, value: float) -> None:
    """Let the forget gate begin at sigmoid(value) (Jozefowicz et al. 2015, section 2.1)."""
    for name, bias in parameters.items():
        if name.startswith("bias_"):
            bias[hidden_size : 2 * hidden_size] = value if name.startswith("bias_ih") else 0


def set_orthogonal(parameters: Buffer, hidden_size: int, generator: numpy.random.Generator) -> None:
    """Let each gate's recurrent weights have orthonormal columns, drawn evenly (Saxe et al. 2014)."""
    for name, weight in parameters.items():
        if name.startswith("weight_hh"):
            for gate in weight.reshape(4, hidden_size, -1):
                gate[...] = _orthogonal(gate.shape, generator)


def _orthogonal(shape: tuple[int, ...], generator: numpy.random.Generator) -> Array:
    q, r = numpy.linalg.qr(generator.standard_normal(shape))
    # The signs of R's diagonal, which are the algorithm's choice, would else favour some matrices.
    signed: Array = q * numpy.where(numpy.diag(r) < 0, -1.0, 1.0)
    return signed
