"""The arithmetic of the four gates, forwards and backwards: the only copy of it.

Gates in the order of the weight rows: f forget, i input, c candidate, hf hidden filter (the literature's output
gate). One step, after Hochreiter & Schmidhuber (1997) with the forget gate of Gers et al. (2000), eqs. (1)-(6)::

    F, I, Hf = sigmoid(z_f), sigmoid(z_i), sigmoid(z_hf)      C = a0(z_c)
    S = F S_prev + I C                                        h = Hf a1(S)
"""

from fastlstm_kernels.activations import activate, sigmoid, sigmoid_row, sigmoid_slope, slope
from fastlstm_kernels.arrays import Array
from fastlstm_kernels.jit import jit


@jit(device=True)
def cell_forward(
    z: Array, s_prev: Array, code_c: int, code_h: int, gates: Array, s: Array, filtered: Array, h: Array, first: int,
    last: int,
) -> None:
    """One step of some units of one row; mirrors `oracle.LSTM.feed_forward_and_cache`.

    Parameters
    ----------
    z : (4 H,) array
        Pre-activations, gates in the order f, i, c, hf.
    s_prev : (H,) array
        Cell state before the step.
    code_c, code_h : int
        Activation codes a0 of the candidate and a1 of the cell state.
    gates : (4 H,) array
        Written: F, I, C, Hf.
    s, filtered, h : (H,) arrays
        Written: the cell state S (may be `s_prev` itself), a1(S) and the hidden state.
    first, last : int
        The half-open range of units.
    """
    size = s.shape[0]
    for g in range(4):
        part = slice(g * size + first, g * size + last)
        if g == 2:
            activate(code_c, z[part], gates[part])
        else:
            sigmoid_row(z[part], gates[part])
    f, i, c, hf = gates[:size], gates[size : 2 * size], gates[2 * size : 3 * size], gates[3 * size :]
    for j in range(first, last):
        s[j] = f[j] * s_prev[j] + i[j] * c[j]
    activate(code_h, s[first:last], filtered[first:last])
    for j in range(first, last):
        h[j] = hf[j] * filtered[j]


@jit(device=True)
def forget_gate_delta(delta_s: float, s_prev: float, f: float) -> float:
    """Gradient at z_f; mirrors `oracle.LSTM.back_prop_forget_gate`."""
    return delta_s * s_prev * sigmoid_slope(f)


@jit(device=True)
def input_gate_delta(delta_s: float, c: float, i: float) -> float:
    """Gradient at z_i; mirrors `oracle.LSTM.back_prop_input_gate`."""
    return delta_s * c * sigmoid_slope(i)


@jit(device=True)
def candidate_gate_delta(delta_s: float, i: float, c: float, code_c: int) -> float:
    """Gradient at z_c; mirrors `oracle.LSTM.back_prop_candidate_gate`."""
    return delta_s * i * slope(code_c, c)


@jit(device=True)
def hidden_filter_gate_delta(delta_filter: float, hf: float) -> float:
    """Gradient at z_hf, given the gradient at Hf; mirrors `oracle.LSTM.back_prop_hidden_filter_gate`."""
    return delta_filter * sigmoid_slope(hf)


@jit(device=True)
def cell_backward(
    delta_h: Array, delta_s: Array, gates: Array, s_prev: Array, filtered: Array, code_c: int, code_h: int, dz: Array
) -> None:
    """One step back of one row; mirrors one turn of the inner loop of `oracle.LSTM.back_propagate_through_time`.

    Parameters
    ----------
    delta_h : (H,) array
        Gradient at the hidden state h of this step.
    delta_s : (H,) array
        Gradient that reaches S from the step after; replaced by the gradient that goes on to `s_prev`.
    gates : (4 H,) array
        F, I, C, Hf of this step.
    s_prev, filtered : (H,) arrays
        Cell state before the step, and a1(S).
    code_c, code_h : int
        Activation codes a0 and a1.
    dz : (4 H,) array
        Written: the gradients at the pre-activations.
    """
    size = delta_h.shape[0]
    f, i, c, hf = gates[:size], gates[size : 2 * size], gates[2 * size : 3 * size], gates[3 * size :]
    d_f, d_i, d_c, d_hf = dz[:size], dz[size : 2 * size], dz[2 * size : 3 * size], dz[3 * size :]
    # One loop an output: a single loop over all of them needs more overlap checks than LLVM will make, and stays
    # scalar.
    for j in range(size):
        delta_s[j] += delta_h[j] * hf[j] * slope(code_h, filtered[j])
    for j in range(size):
        d_hf[j] = hidden_filter_gate_delta(delta_h[j] * filtered[j], hf[j])
    for j in range(size):
        d_c[j] = candidate_gate_delta(delta_s[j], i[j], c[j], code_c)
    for j in range(size):
        d_i[j] = input_gate_delta(delta_s[j], c[j], i[j])
    for j in range(size):
        d_f[j] = forget_gate_delta(delta_s[j], s_prev[j], f[j])
    for j in range(size):
        delta_s[j] *= f[j]


@jit()
def forget_gate(delta_s: Array, s_prev: Array, f_arg: Array, delta: Array) -> None:
    """Gradient at z_f of a whole gate; mirrors `oracle.LSTM.back_prop_forget_gate`. All arrays (H,); writes `delta`."""
    for j in range(delta.shape[0]):
        delta[j] = forget_gate_delta(delta_s[j], s_prev[j], sigmoid(f_arg[j]))


@jit()
def input_gate(delta_s: Array, c: Array, i_arg: Array, delta: Array) -> None:
    """Gradient at z_i of a whole gate; mirrors `oracle.LSTM.back_prop_input_gate`. All arrays (H,); writes `delta`."""
    for j in range(delta.shape[0]):
        delta[j] = input_gate_delta(delta_s[j], c[j], sigmoid(i_arg[j]))


@jit()
def candidate_gate(delta_s: Array, i: Array, c_arg: Array, code_c: int, delta: Array) -> None:
    """Gradient at z_c of a whole gate; mirrors `oracle.LSTM.back_prop_candidate_gate`.

    All arrays (H,); `code_c` is the activation code a0; writes `delta`.
    """
    activate(code_c, c_arg, delta)
    for j in range(delta.shape[0]):
        delta[j] = candidate_gate_delta(delta_s[j], i[j], delta[j], code_c)


@jit()
def hidden_filter_gate(delta_filter: Array, hf_arg: Array, delta: Array) -> None:
    """Gradient at z_hf of a whole gate; mirrors `oracle.LSTM.back_prop_hidden_filter_gate`.

    All arrays (H,); writes `delta`.
    """
    for j in range(delta.shape[0]):
        delta[j] = hidden_filter_gate_delta(delta_filter[j], sigmoid(hf_arg[j]))


@jit()
def add_gate_gradients(
    delta: Array, h_prev: Array, x: Array, u: Array, d_w: Array, d_u: Array, d_b: Array, delta_h: Array, carry: bool
) -> None:
    """Add one step of one gate into its gradient buffers; mirrors `oracle.LSTM.back_prop_forget_gate` and its twins.

    Parameters
    ----------
    delta : (H,) array
        Gradient at the gate's pre-activation.
    h_prev, x : (H,) and (input,) arrays
        What the gate saw.
    u : (H, H) array
        Recurrent weights of the gate.
    d_w, d_u, d_b : (H, input), (H, H) and (H,) arrays
        Added to in place: delta ⊗ x, delta ⊗ h_prev, delta.
    delta_h : (H,) array
        Added to in place where `carry` is true: delta · u.
    carry : bool
        Whether the gradient goes on to the hidden state before the step.

    Notes
    -----
    2 H (2 H + input) flops; reads `u` and updates the buffers once.
    """
    for j in range(delta.shape[0]):
        for k in range(x.shape[0]):
            d_w[j, k] += delta[j] * x[k]
        for k in range(h_prev.shape[0]):
            d_u[j, k] += delta[j] * h_prev[k]
        d_b[j] += delta[j]
        if carry:
            for k in range(h_prev.shape[0]):
                delta_h[k] += delta[j] * u[j, k]
