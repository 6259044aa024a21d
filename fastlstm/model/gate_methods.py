"""The four gate-gradient updates as methods, one step of one gate each."""

from typing import Any, TypeAlias

import numpy

from fastlstm import checks
from fastlstm.checks import Array
from fastlstm.model import compiled
from fastlstm.model.base import Model

Gate: TypeAlias = tuple[Array, Array, Array]


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
        given = {"delta_s_t": delta_s_t, "S": S, "F_arg": F_arg}
        self._gate("forget", "f", given, delta_h_t, H, X, dLdfs)

    def back_prop_input_gate(
        self, delta_s_t: Any, delta_h_t: Array, C: Any, I_arg: Any, H: Any, X: Any, dLdis: Gate, dLdX: Any
    ) -> None:
        """Add one step of the input gate, which multiplies the candidate C; see `back_prop_forget_gate`."""
        given = {"delta_s_t": delta_s_t, "C": C, "I_arg": I_arg}
        self._gate("input", "i", given, delta_h_t, H, X, dLdis)

    def back_prop_candidate_gate(
        self, delta_s_t: Any, delta_h_t: Array, I: Any, C_arg: Any, H: Any, X: Any, dLdcs: Gate, dLdX: Any  # noqa: E741
    ) -> None:
        """Add one step of the candidate, which the input gate I multiplies; see `back_prop_forget_gate`."""
        given = {"delta_s_t": delta_s_t, "I": I, "C_arg": C_arg}
        self._gate("candidate", "c", given, delta_h_t, H, X, dLdcs)

    def back_prop_hidden_filter_gate(
        self, delta_s_t: Any, delta_h_t: Array, Hf_arg: Any, H: Any, X: Any, dLdhfs: Gate, dLdX: Any
    ) -> None:
        """Add one step of the hidden filter; `delta_h_t` is the gradient at its value. See `back_prop_forget_gate`.

        With the "reference" gradient `delta_h_t` stays as it is.
        """
        given = {"delta_s_t": delta_s_t, "Hf_arg": Hf_arg}
        self._gate("hidden_filter", "hf", given, delta_h_t, H, X, dLdhfs)

    def _gate(
        self, gate: str, g: str, given: dict[str, Any], delta_h_t: Array, H: Any, X: Any, gradients: Gate
    ) -> None:
        size, dtype = self.hidden_size, self.dtype
        vectors = [checks.shaped_array(name, value, (size,), dtype) for name, value in given.items()]
        h, x = checks.shaped_array("H", H, (size,), dtype), checks.shaped_array("X", X, (self.input_size,), dtype)
        if not isinstance(gradients, tuple | list) or len(gradients) != 3:
            raise ValueError(f"gradients of the {gate} gate must be three arrays (dW, dU, db), got {gradients!r}")
        shapes = {f"dLdW_{g}": (size, self.input_size), f"dLdU_{g}": (size, size), f"dLdb_{g}": (size,)}
        targets = [checks.updatable_array(n, a, s) for (n, s), a in zip(shapes.items(), gradients, strict=True)]
        targets.append(checks.updatable_array("delta_h_t", delta_h_t, (size,)))
        # Kernels add into arrays of the model's dtype in C order; others get the sum of a zero array afterwards.
        work = [a if _direct(a, dtype) else numpy.zeros(a.shape, dtype) for a in targets]
        if gate == "hidden_filter":
            vectors[0] = targets[-1].astype(dtype)
        if self._activations.codes is None:
            fallback = self._fallback(for_gradients=True)
            fallback.gate(gate, vectors, h, x, (work[0], work[1], work[2]), work[3])
        else:
            carry = self.gradient == "exact" or gate != "hidden_filter"
            compiled.gate(
                gate, self._activations.codes, vectors, h, x, self.parameters["U_" + g], (work[0], work[1], work[2]),
                work[3], carry,
            )
        for target, added in zip(targets, work, strict=True):
            if added is not target:
                target += added


def _direct(array: Array, dtype: Any) -> bool:
    flags = array.flags
    return array.dtype == dtype and array.dtype.isnative and flags.c_contiguous and flags.aligned
