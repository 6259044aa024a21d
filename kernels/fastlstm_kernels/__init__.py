"""LSTM kernels compiled with Numba: functions over preallocated NumPy arrays, callable from your own ``@njit`` code.

Needs numpy and numba only. Kernels check nothing: shapes, dtypes and C order are the caller's to keep (the classes of
`fastlstm` do). Array kernels take all floating arrays in one dtype, float32 or float64. With ``workers=1`` a kernel
runs in the calling thread and never enters Numba's threading layer.
"""

from fastlstm_kernels.compiled_step import compiled_step
from fastlstm_kernels.dense import dense_backward, dense_forward
from fastlstm_kernels.entropy import cross_entropy, label_cross_entropy
from fastlstm_kernels.forward import forward, preactivations
from fastlstm_kernels.gate_methods import add_gate_gradients, gate_delta, gate_step, run_rows
from fastlstm_kernels.gather import gather_rows
from fastlstm_kernels.huber import huber_loss, weighted_huber_loss
from fastlstm_kernels.layer import layer_backward, layer_forward, layer_truncated_backward
from fastlstm_kernels.network import (
    example_backward,
    example_forward,
    network_backward,
    network_forward,
    network_gradients,
)
from fastlstm_kernels.optimize import adam_step, gradient_squares, rmsprop_step, sgd_step
from fastlstm_kernels.output import losses_of_logits, output_delta
from fastlstm_kernels.pack import pack
from fastlstm_kernels.pair import backward_pair, forward_pair
from fastlstm_kernels.step import step
from fastlstm_kernels.unpacked import unpacked_forward
from fastlstm_kernels.unpacked_back import unpacked_backward

__all__ = [
    "adam_step",
    "add_gate_gradients",
    "backward_pair",
    "compiled_step",
    "cross_entropy",
    "dense_backward",
    "dense_forward",
    "example_backward",
    "example_forward",
    "forward",
    "forward_pair",
    "gate_delta",
    "gate_step",
    "gather_rows",
    "gradient_squares",
    "huber_loss",
    "label_cross_entropy",
    "layer_backward",
    "layer_forward",
    "layer_truncated_backward",
    "losses_of_logits",
    "network_backward",
    "network_forward",
    "network_gradients",
    "output_delta",
    "pack",
    "preactivations",
    "rmsprop_step",
    "run_rows",
    "sgd_step",
    "step",
    "unpacked_backward",
    "unpacked_forward",
    "weighted_huber_loss",
]
