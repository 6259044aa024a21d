"""One layer, or a stack of them, in each library: forward, training step, frame step."""

from functools import cached_property
from typing import Any

import numpy

from fastlstm import nn

from .common import library

IMPLEMENTATIONS = ["fastlstm", "torch", "onnxruntime"]
PEERS = IMPLEMENTATIONS[1:]


def layer(implementation: str, dtype: str, shape: tuple[int, ...], threads: int | None = None, **form: Any) -> Any:
    """A layer of one library, a sequence, and a gradient at the output; for (T, batch, input, hidden).

    With ONNX Runtime one layer in one direction; the others take what `nn.LSTM` and `torch.nn.LSTM` both do
    (`num_layers`, `bidirectional`), and `lengths` of the sequences, from 1 to T.

    Raises
    ------
    NotImplementedError
        The library is not installed, or cannot do it: asv then leaves the case out.
    """
    return {"fastlstm": Ours, "torch": Torchs, "onnxruntime": Onnx}[implementation](dtype, shape, threads, **form)


class Ours:
    """fastlstm.nn.LSTM."""

    def __init__(self, dtype, shape, threads, lengths=None, **form):
        steps, batch, inputs, hidden = shape
        rng = numpy.random.default_rng(0)
        self.layer = nn.LSTM(inputs, hidden, dtype=dtype, seed=0, n_threads=threads, **form)
        self.lengths = lengths
        self.x = rng.standard_normal((steps, batch, inputs)).astype(dtype)
        self.delta = rng.standard_normal((steps, batch, self.layer.output_size)).astype(dtype)
        self.frame = self.x[0]

    @cached_property
    def stepper(self):
        # Only where it is used: two directions have none, and a peer takes only the weights.
        return self.layer.stepper(len(self.frame))

    def forward(self):
        return self.layer(self.x, lengths=self.lengths)

    def train(self):
        _, _, tape = self.layer.forward(self.x, lengths=self.lengths)
        self.layer.zero_grad()
        return self.layer.backward(tape, self.delta)

    def step(self):
        return self.stepper(self.frame)


class Torchs:
    """torch.nn.LSTM, and for a frame torch.nn.LSTMCell, the fastest of PyTorch's ways."""

    def __init__(self, dtype, shape, threads, lengths=None, **form):
        self.torch = torch = library("torch")
        if threads is not None:
            torch.set_num_threads(threads)
        ours = Ours(dtype, shape, threads, **form)
        self.layer = torch.nn.LSTM(*shape[2:], dtype=getattr(torch, dtype), **form)
        self.layer.load_state_dict({name: torch.from_numpy(value) for name, value in ours.layer.state_dict().items()})
        self.lengths = None if lengths is None else torch.from_numpy(lengths)
        self.state = None
        # Ours always gives the gradient at the input, so PyTorch is asked for it.
        self.x, self.delta = torch.from_numpy(ours.x).requires_grad_(), torch.from_numpy(ours.delta)
        self.frame = torch.from_numpy(ours.frame.copy())

    @cached_property
    def cell(self):
        cell = self.torch.nn.LSTMCell(self.layer.input_size, self.layer.hidden_size, dtype=self.x.dtype)
        cell.load_state_dict({name.removesuffix("_l0"): value for name, value in self.layer.state_dict().items()})
        return cell

    def run(self):
        if self.lengths is None:
            return self.layer(self.x)[0]
        rnn = self.torch.nn.utils.rnn
        output, _ = self.layer(rnn.pack_padded_sequence(self.x, self.lengths, enforce_sorted=False))
        return rnn.pad_packed_sequence(output, total_length=len(self.x))[0]

    def forward(self):
        with self.torch.inference_mode():
            return self.run()

    def train(self):
        output = self.run()
        self.layer.zero_grad(set_to_none=False)
        self.x.grad = None
        output.backward(self.delta)

    def step(self):
        with self.torch.inference_mode():
            self.state = self.cell(self.frame, self.state)
        return self.state

    def step_layer(self):
        """A step of torch.nn.LSTM itself."""
        with self.torch.inference_mode():
            output, self.state = self.layer(self.frame[None], self.state)
        return output


class Onnx:
    """The LSTM operator of ONNX Runtime, which is for inference in float32."""

    def __init__(self, dtype, shape, threads):
        onnxruntime, onnx = library("onnxruntime"), library("onnx")
        helper, real = onnx.helper, onnx.TensorProto.FLOAT
        if dtype != "float32":
            raise NotImplementedError("float32 only")
        ours, (_, batch, inputs, hidden) = Ours(dtype, shape, threads), shape
        weights = {name: value.reshape(4, hidden, -1) for name, value in ours.layer.state_dict().items()}
        order = [0, 3, 1, 2]  # ONNX has the gates i, o, f, c
        held = {kind: weights[f"weight_{kind}_l0"][order].reshape(1, 4 * hidden, -1) for kind in ("ih", "hh")}
        bias = numpy.concatenate([weights[f"bias_{kind}_l0"][order].ravel() for kind in ("ih", "hh")])[None]
        constants = [
            onnx.numpy_helper.from_array(numpy.ascontiguousarray(value), name)
            for name, value in (("w", held["ih"]), ("r", held["hh"]), ("b", bias))
        ]
        put = [
            helper.make_tensor_value_info(name, real, form)
            for name, form in (("x", ["t", batch, inputs]), ("h", [1, batch, hidden]), ("c", [1, batch, hidden]))
        ]
        got = [helper.make_tensor_value_info(name, real, None) for name in ("y", "h_n", "c_n")]
        node = helper.make_node(
            "LSTM", ["x", "w", "r", "b", "", "h", "c"], [each.name for each in got], hidden_size=hidden
        )
        made = helper.make_model(
            helper.make_graph([node], "layer", put, got, constants), opset_imports=[helper.make_opsetid("", 17)]
        )
        made.ir_version = 9
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        self.session = onnxruntime.InferenceSession(
            made.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        zero = numpy.zeros((1, batch, hidden), numpy.float32)
        self.sequence = {"x": ours.x, "h": zero, "c": zero}
        self.frame = {"x": ours.x[:1], "h": zero, "c": zero}

    def forward(self):
        return self.session.run(None, self.sequence)

    def step(self):
        output, self.frame["h"], self.frame["c"] = self.session.run(None, self.frame)
        return output
