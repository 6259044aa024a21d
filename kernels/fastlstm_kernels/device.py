"""Device functions: checked and lowered on their own, optimized and made machine code where they are used.

Numba optimizes each function with all that it calls, and makes machine code of both, though a device function's runs
nowhere but inside the kernels that call it. Over three or four levels the innermost loops were compiled as often. Left
to the kernels, the first training step of a layer takes 0.63 of the time, and its cache 0.8 of the space.
"""

from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import LoweringPass, register_pass
from numba.core.typed_passes import NativeLowering


class _Unfinished(JITCodeLibrary):  # type: ignore[misc]
    """Code for other libraries to link, and for the disk; none to run."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    def serialize_using_object_code(self) -> Any:
        return self.serialize_using_bitcode()


@register_pass(mutates_CFG=False, analysis_only=True)
class _Offer(LoweringPass):  # type: ignore[misc]
    """Lets other functions call one that has no machine code; Numba does so for what it has made executable."""

    _name = "offer_to_callers"

    def __init__(self) -> None:
        LoweringPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        lowered = state["cr"]
        entry: Any = {}.popitem  # a key, which must be a function of C's; Python has no use for it, and this one raises
        state.targetctx.insert_user_function(entry, lowered.fndesc, [state.library])
        state.reload_init.extend(state.library._reload_init)
        state["cr"] = lowered._replace(cfunc=entry)
        return True


class DeviceCompiler(CompilerBase):  # type: ignore[misc]
    """Numba's steps, except that they end before there is machine code."""

    def define_pipelines(self) -> list[Any]:
        """The one list of steps."""
        state = self.state
        state.flags.no_compile = True
        state.library = _Unfinished(state.targetctx.codegen(), state.func_id.func_qualname)
        steps = DefaultPassBuilder.define_nopython_pipeline(state)
        steps.add_pass_after(_Offer, NativeLowering)
        steps.finalize()
        return [steps]
