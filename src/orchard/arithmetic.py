"""How a study rounds: the same on every machine (portable), or as is fastest on each (fast).

Libraries choose their code by the CPU: wider vectors sum in another order, and round otherwise. Under ``arithmetic:
portable`` each is held to code that every x86-64 CPU with AVX2 runs alike, Intel's and AMD's.
"""

import os
import platform
import re
import sys
import warnings
from pathlib import Path

from orchard import paths, processes
from orchard.errors import UserError

PORTABLE = "portable"
# What holds each library to code that does not depend on the CPU; each reads its own when it is imported.
SETTINGS = {
    "ATEN_CPU_CAPABILITY": "avx2",  # PyTorch's own code
    "MKL_CBWR": "COMPATIBLE",  # its attention; MKL's branch AVX2 rounds otherwise on AMD's CPUs than on Intel's
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # its layers in oneDNN
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",  # numpy 2.4: all that it would choose by the CPU
    "OPENBLAS_CORETYPE": "Haswell",  # numpy's and scipy's linear algebra, and PyTorch's matrix products (see below)
    "ARROW_USER_SIMD_LEVEL": "AVX2",  # pyarrow's sums
}
# What MKL computes from the CPU's rough reciprocals, which differ between Intel and AMD whatever the settings say.
# numpy takes each from the C library, or rounds exactly. (A tensor to the power of .5 is MKL's too: write sqrt.)
ROUGH = {"sqrt": "sqrt", "log": "log", "tan": "tan", "acos": "arccos", "asin": "arcsin", "atan": "arctan"}
# MKL's portable matrix products have narrow vectors, and take 2.5 times as long as numpy's OpenBLAS, so PyTorch gets
# these. (Attention has products of its own, within one function, which stay MKL's.)
PRODUCTS = ("mm", "bmm", "addmm")
# What the settings need. The C library's exp and log are others where the CPU lacks FMA.
NEEDED = ("avx2", "fma")
_replaced: list = []  # keeps PyTorch's functions replaced as long as the process lives


def kind() -> str:
    """What params.yaml says, read without a parser, whose import would take as long as a small stage's work.

    Where it says nothing, or there is none, it is portable, as in the schema.
    """
    text = paths.PARAMS.read_text(encoding="utf-8") if paths.PARAMS.is_file() else ""
    found = re.search(r"^arithmetic: (\w+)$", text, re.MULTILINE)
    return found[1] if found else PORTABLE


def set_up() -> None:
    """Sets the environment for libraries that are imported later."""
    if kind() == PORTABLE:
        os.environ.update(SETTINGS)
        if not processes.has_gpus():  # a job that was given some is refused instead
            os.environ["CUDA_VISIBLE_DEVICES"] = ""


def hold() -> None:
    """Before a stage computes, with its libraries loaded: refuses what is not portable, replaces what is rough or slow.

    Raises:
        UserError: the study's arithmetic is portable, and this machine cannot, or PyTorch does not, compute so.
    """
    refuse_unfit_machine()
    if kind() == PORTABLE and "torch" in sys.modules:
        _refuse_other_code(sys.modules["torch"])
        _replace(sys.modules["torch"])


def refuse_unfit_machine() -> None:
    """Raises a UserError if the study's arithmetic is portable and this machine's CPU has not what that needs."""
    if kind() == PORTABLE and (lacking := [name for name in NEEDED if name not in cpu_flags()]):
        found = f"a CPU ({platform.machine()}) without {' and '.join(lacking)}"
        raise _not_portable(found, "run it on an x86-64 CPU with AVX2")


def cpu_flags() -> set[str]:
    """What this machine's CPU can do, in Linux's words; none where Linux does not say it, or on another system."""
    file = Path("/proc/cpuinfo")
    found = re.search(r"^flags\s*:(.*)$", file.read_text(), re.MULTILINE) if file.is_file() else None
    return set(found[1].split()) if found else set()


def _refuse_other_code(torch) -> None:
    """Raises a UserError if PyTorch was loaded before the settings, or would compute on a GPU."""
    if torch.cuda.is_available():
        raise _not_portable("a job with a GPU", "leave `gpu` out of the profile")
    if (found := torch.backends.cpu.get_cpu_capability()) != "AVX2":
        raise _not_portable(f"PyTorch computes by its code for {found}", "load it after `import orchard.stages`")


def _not_portable(found: str, otherwise: str) -> UserError:
    return UserError(
        found=f"{found}, while the study has arithmetic: portable",
        rule="portable arithmetic is that of x86-64 CPUs with AVX2 and FMA",
        why="other code rounds otherwise: the numbers would not be those that the study has everywhere else",
        fix=f"set `arithmetic: fast`, if the same numbers on other machines do not matter; or {otherwise}",
    )


def _replace(torch) -> None:
    """Puts numpy's functions in the place of MKL's in this process, under PyTorch's automatic gradients."""
    if _replaced:
        return
    import numpy

    library = torch.library.Library("aten", "IMPL")
    with warnings.catch_warnings(action="ignore"):  # PyTorch says that it is overridden
        for name, other in ROUGH.items():
            value = _on_arrays(torch, numpy, getattr(numpy, other))
            library.impl(name, value, "CPU", allow_override=True)
            library.impl(f"{name}_", _in_place(value), "CPU", allow_override=True)
            library.impl(f"{name}.out", _into(value), "CPU", allow_override=True)
        product = _product(torch, numpy)
        for name, value in zip(PRODUCTS, (product, product, _added(product)), strict=True):
            library.impl(name, value, "CPU", allow_override=True)
            library.impl(f"{name}.out", _into(value), "CPU", allow_override=True)
    _replaced.append(library)


def _on_arrays(torch, numpy, function):
    """A function of numpy's as one of tensors; whole numbers and half precision are computed in float32."""

    def value(x):
        wide = x.dtype in (torch.float32, torch.float64) or x.is_complex()
        with numpy.errstate(all="ignore"):  # of a logarithm of 0 PyTorch says nothing
            found = torch.as_tensor(function((x if wide else x.float()).detach().numpy()))
        return found.to(x.dtype) if x.is_floating_point() else found

    return value


def _product(torch, numpy):
    """numpy's product of two matrices, or of two batches of them, as one of tensors; half precision sums in float32."""

    def product(a, b):
        if a.dtype != b.dtype:
            raise RuntimeError(f"a product of {a.dtype} and {b.dtype}: both are of one type")
        if a.dtype in (torch.bfloat16, torch.float16):
            return product(a.float(), b.float()).to(a.dtype)
        found = torch.empty((*a.shape[:-1], b.shape[-1]), dtype=a.dtype)
        numpy.matmul(_in_rows(a), _in_rows(b), out=found.numpy())
        return found

    return product


def _in_rows(x):
    """A tensor as an array whose rows or columns lie in one piece: OpenBLAS takes no other."""
    return (x if 1 in x.stride()[-2:] else x.contiguous()).detach().numpy()


def _added(product):
    def added(x, a, b, *, beta=1, alpha=1):
        found = product(a, b)
        found = found if alpha == 1 else found * alpha
        return found if beta == 0 else found + (x if beta == 1 else x * beta)

    return added


def _in_place(value):
    return lambda x: x.copy_(value(x))


def _into(value):
    def into(*inputs, out, **factors):
        found = value(*inputs, **factors)
        return out.resize_(found.shape).copy_(found)

    return into
