"""LSTM kernels compiled with Numba: functions over preallocated NumPy arrays, callable from your own ``@njit`` code.

Needs numpy and numba only. Kernels check nothing: shapes, dtypes and C order are the caller's to keep (the classes of
`fastlstm` do). Array kernels take all floating arrays in one dtype, float32 or float64.
"""

from fastlstm_kernels.affine import affine_backward, affine_forward
from fastlstm_kernels.forward import forward_infer, forward_record
from fastlstm_kernels.gates import (
    add_gate_gradients,
    candidate_gate,
    forget_gate,
    hidden_filter_gate,
    input_gate,
)
from fastlstm_kernels.network import network_backward, network_forward, network_gradients
from fastlstm_kernels.output import output_delta
from fastlstm_kernels.truncated import full_backward, truncated_backward

__all__ = [
    "add_gate_gradients",
    "affine_backward",
    "affine_forward",
    "candidate_gate",
    "forget_gate",
    "forward_infer",
    "forward_record",
    "full_backward",
    "hidden_filter_gate",
    "input_gate",
    "network_backward",
    "network_forward",
    "network_gradients",
    "output_delta",
    "truncated_backward",
]
