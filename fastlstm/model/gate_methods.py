"""The four gate-gradient updates as methods, one step of one gate each."""

from typing import Any, TypeAlias

import numpy

import fastlstm_kernels as kernels
from fastlstm import checks
from fastlstm.checks import Array
from fastlstm.model.base import Model
from fastlstm_kernels.gate_methods import CANDIDATE, FORGET, HIDDEN_FILTER, INPUT

Gate: TypeAlias = tuple[Array, Array, Array]

NAMES = (
    ("forget", "f", "delta_s_t", "S", "F_arg"), ("input", "i", "delta_s_t", "C", "I_arg"),
    ("candidate", "c", "delta_s_t", "I", "C_arg"), ("hidden_filter", "hf", "delta_s_t", "Hf_arg"),
)
"""Of each gate, its short name, and the names of its method's own arguments."""


class GateMethods(Model):
    """The gates' part of `fastlstm.LSTM`."""

    def back_prop_forget_gate(
        self, delta_s_t: Any, delta_h_t: Array, S: Any, F_arg: Any, H: Any, X: Any, dLdfs: Gate, dLdX: Any
    ) -> None:
        """Add one step of the forget gate into its gradients and into `delta_h_t`, in place.

        Parameters
        ----------
        delta_s_t : (hidden,) array
            Gradient at the cell state.
        delta_h_t : (hidden,) array
            Gradient at the hidden state one step back; added to.
        S, F_arg : (hidden,) arrays
            Cell state before the step, which the gate multiplies, and the gate's pre-activation.
        H, X : (hidden,) and (input,) arrays
            Hidden state before the step, and its input.
        dLdfs : tuple of (hidden, input), (hidden, hidden) and (hidden,) arrays
            The gate's gradients, as from `init_gradients`; added to.
        dLdX
            Not used.
        """
        self._gate(FORGET, (delta_s_t, S, F_arg), delta_h_t, H, X, dLdfs)

    def back_prop_input_gate(
        self, delta_s_t: Any, delta_h_t: Array, C: Any, I_arg: Any, H: Any, X: Any, dLdis: Gate, dLdX: Any
    ) -> None:
        """Add one step of the input gate, which multiplies the candidate C; see `back_prop_forget_gate`."""
        self._gate(INPUT, (delta_s_t, C, I_arg), delta_h_t, H, X, dLdis)

    def back_prop_candidate_gate(
        self, delta_s_t: Any, delta_h_t: Array, I: Any, C_arg: Any, H: Any, X: Any, dLdcs: Gate, dLdX: Any  # noqa: E741
    ) -> None:
        """Add one step of the candidate, which the input gate I multiplies; see `back_prop_forget_gate`."""
        self._gate(CANDIDATE, (delta_s_t, I, C_arg), delta_h_t, H, X, dLdcs)

    def back_prop_hidden_filter_gate(
        self, delta_s_t: Any, delta_h_t: Array, Hf_arg: Any, H: Any, X: Any, dLdhfs: Gate, dLdX: Any
    ) -> None:
        """Add one step of the hidden filter; `delta_h_t` is the gradient at its value. See `back_prop_forget_gate`.

        With the "reference" gradient `delta_h_t` stays as it is.
        """
        self._gate(HIDDEN_FILTER, (delta_s_t, Hf_arg), delta_h_t, H, X, dLdhfs)

    def _gate(self, gate: int, own: tuple[Any, ...], delta_h_t: Array, H: Any, X: Any, gradients: Gate) -> None:
        arrays = [*own, H, X, *gradients, delta_h_t] if type(gradients) is tuple else []
        if checks.are_direct(arrays, self._compiled.gate_shapes[gate], self._dtype):
            self._add_gate(gate, arrays, delta_h_t)
            return
        arrays, targets = self._converted(gate, own, delta_h_t, H, X, gradients)
        self._add_gate(gate, arrays, targets[3].astype(self._dtype))
        for target, added in zip(targets, arrays[-4:], strict=True):
            if added is not target:
                target += added

    def _add_gate(self, gate: int, arrays: list[Array], at_value: Array) -> None:
        """One step of a gate, from all that its method is given; `at_value` is the gradient at the hidden filter."""
        if gate == HIDDEN_FILTER:
            arrays[0] = at_value
        *own, h, x, d_w, d_u, d_b, delta_h = arrays
        codes = self._activations.codes
        if codes is None:
            self._fallback(for_gradients=True).gate(NAMES[gate][0], own, h, x, (d_w, d_u, d_b), delta_h)
            return
        carry, u = gate != HIDDEN_FILTER or self._gradient == "exact", self._compiled.recurrent[gate]
        kernels.gate_step(gate, codes[0], carry, own[0], own[-2], own[-1], h, x, u, d_w, d_u, d_b, delta_h)

    def _converted(
        self, gate: int, own: tuple[Any, ...], delta_h_t: Array, H: Any, X: Any, gradients: Gate
    ) -> tuple[list[Array], list[Array]]:
        """All that a gate's method is given as kernels take it, and its last four, which are added to, as they are.

        Kernels add into arrays of the model's dtype in C order; others get the sum of a zero array afterwards.
        """
        (inputs, _, size), dtype, (name, g, *names) = self._sizes, self._dtype, NAMES[gate]
        arrays = [checks.shaped_array(n, value, (size,), dtype) for n, value in zip(names, own, strict=True)]
        arrays += [checks.shaped_array("H", H, (size,), dtype), checks.shaped_array("X", X, (inputs,), dtype)]
        if not isinstance(gradients, tuple | list) or len(gradients) != 3:
            raise ValueError(f"gradients of the {name} gate must be three arrays (dW, dU, db), got {gradients!r}")
        shapes = {f"dLdW_{g}": (size, inputs), f"dLdU_{g}": (size, size), f"dLdb_{g}": (size,), "delta_h_t": (size,)}
        given = zip(shapes.items(), (*gradients, delta_h_t), strict=True)
        targets = [checks.updatable_array(n, array, shape) for (n, shape), array in given]
        arrays += [a if checks.are_direct([a], [a.shape], dtype) else numpy.zeros(a.shape, dtype) for a in targets]
        return arrays, targets
