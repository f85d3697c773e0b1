"""The same numbers on every CPU: what holds the libraries, what is refused, and a study's bits on emulated CPUs."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchard import arithmetic, yamls
from orchard.rerun import warm
from tests.helpers import emulated
from tests.helpers.messages import assert_one_message
from tests.helpers.project import ROOT

# What each library says of the code that it computes by, on any CPU with AVX2.
IN_FORCE = """
import ctypes, json, pathlib
from orchard import stages
import numpy, pyarrow, scipy.linalg, torch
from numpy._core import _multiarray_umath as numpy_code

torch.rand(8, 8) @ torch.rand(8, 8)
site = pathlib.Path(numpy.__file__).parents[1]
def blas(package):
    name = ctypes.CDLL(*map(str, site.glob(f"{package}.libs/libscipy_openblas*"))).gotoblas_corename
    name.restype = ctypes.c_char_p
    return name().decode()
print(json.dumps({
    "torch": torch.backends.cpu.get_cpu_capability(),
    "mkl": ctypes.CDLL(f"{site}/torch/lib/libtorch_cpu.so").mkl_serv_cbwr_get(1),
    "numpy": [name for name in numpy_code.__cpu_dispatch__ if numpy_code.__cpu_features__[name]],
    "numpy's OpenBLAS": blas("numpy"),
    "scipy's OpenBLAS": blas("scipy"),
    "pyarrow": pyarrow.runtime_info().simd_level,
}))
"""
PORTABLE = {
    "torch": "AVX2",
    "mkl": 3,  # MKL_CBWR_COMPATIBLE in mkl_types.h
    "numpy": [],
    "numpy's OpenBLAS": "Haswell",
    "scipy's OpenBLAS": "Haswell",
    "pyarrow": "avx2",
}


def said(code: str, **variables: str) -> str:
    """What a new process prints that has none of this one's settings."""
    done = [sys.executable, "-c", code]
    return subprocess.check_output(done, text=True, env=emulated.surroundings(**variables))


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A working folder; returns a function that sets what its params.yaml says of arithmetic."""
    monkeypatch.chdir(tmp_path)
    return lambda kind: (tmp_path / "params.yaml").write_text(f"name: a\narithmetic: {kind}\n")


# What a study says


def test_every_library_is_held_to_portable_code(study):
    assert json.loads(said(IN_FORCE)) == PORTABLE  # as without a study


def test_fast_holds_no_library(study):
    study("fast")
    assert json.loads(said(IN_FORCE))["mkl"] != PORTABLE["mkl"]
    names = said(f"import os, orchard.stages; print(*({set(arithmetic.SETTINGS)} & set(os.environ)))").split()
    assert names == []


def test_numpys_names_are_those_of_its_version():
    from numpy._core._multiarray_umath import __cpu_dispatch__ as chosen_by_the_cpu

    assert arithmetic.SETTINGS["NPY_DISABLE_CPU_FEATURES"].split() == list(chosen_by_the_cpu)


def test_the_stages_that_compute_and_no_others_run_again_when_the_arithmetic_changes():
    families = yamls.read(ROOT / "dvc.yaml")["stages"]
    light = {module.rpartition(".")[2] for module in (*warm.LIGHT, *warm.ALONE)}
    asking = {name for name, entry in families.items() if "arithmetic" in entry.get("do", entry)["params"]}
    assert asking == set(families) - light
    for name in families:
        module = ROOT / "src/orchard/stages" / name
        file = module / "__main__.py" if module.is_dir() else module.with_suffix(".py")
        assert ("computes=False" in file.read_text()) == (name in light), name


# GPUs


@pytest.mark.parametrize(
    ("kind", "given", "processes", "seen"),
    [("portable", "0", "0", ""), ("portable", "2,3", "1", "2"), ("fast", "2,3", "0", "2"), ("fast", "2,3", "2", "2,3")],
)
def test_portable_arithmetic_leaves_gpus_alone_that_a_job_was_not_given(study, kind, given, processes, seen):
    study(kind)
    code = "import orchard.stages, os; print(os.environ['CUDA_VISIBLE_DEVICES'])"
    assert said(code, CUDA_VISIBLE_DEVICES=given, ORCHARD_PROCESSES=processes) == f"{seen}\n"


# What MKL computes roughly

EXACT = """
from orchard import stages
import json, numpy, torch
from orchard import arithmetic
arithmetic.hold()
torch.manual_seed(1)
found = {}
for name, other in arithmetic.ROUGH.items():
    for dtype in (torch.float32, torch.float64):
        x = torch.rand(40, 30, dtype=dtype).T
        mine, wanted = getattr(torch, name), torch.from_numpy(getattr(numpy, other)(x.numpy()))
        out = mine(x, out=torch.empty(0, dtype=dtype))
        ways = [mine(x), getattr(x.clone(), f"{name}_")(), out]
        y = x[:2, :2].clone().double().requires_grad_()
        found[f"{name} {dtype}"] = all(each.equal(wanted) for each in ways) and torch.autograd.gradcheck(mine, y)
special = torch.tensor([0.0, -1.0]).log(), torch.tensor([0.0, -1.0]).sqrt(), torch.tensor(4).sqrt()
found["special"] = str(special) == "(tensor([-inf, nan]), tensor([0., nan]), tensor(2.))"
found["half"] = torch.tensor([2.0]).bfloat16().sqrt().dtype == torch.bfloat16
print(json.dumps(found))
"""


def test_rough_functions_are_numpys_with_their_gradients():
    found = json.loads(said(EXACT))
    assert found == dict.fromkeys(found, True)


PRODUCTS = """
from orchard import stages
import json, torch
from orchard import arithmetic
torch.manual_seed(1)
made = lambda *shape: torch.randn(*shape, dtype=torch.float64)
cases = {
    "mm": [(made(5, 7), made(7, 3)), (made(7, 5).T, made(3, 7).T), (made(5, 14)[:, ::2], made(7, 3)),
           (made(1, 7), made(7, 1)), (made(5, 0), made(0, 3)), (made(7, 5).T, made(7, 5))],
    "bmm": [(made(4, 5, 7), made(4, 7, 3)), (made(4, 7, 5).mT, made(1, 7, 3).expand(4, 7, 3))],
    "addmm": [(made(3), made(5, 7), made(7, 3)), (made(5, 3), made(5, 7), made(7, 3))],
}
def values():
    found = []
    for name, inputs in cases.items():
        for each in inputs:
            for given in (each, [x.float() for x in each], [x.bfloat16() for x in each]):
                out = getattr(torch, name)(*given, out=torch.empty(0, dtype=given[0].dtype))
                found += [getattr(torch, name)(*given), out]
    x = cases["addmm"][1]
    return found + [torch.addmm(*x, beta=0, alpha=2), torch.addmm(*x, beta=.5), made(5, 7).long() @ made(7, 3).long()]
state = torch.get_rng_state()
before = values()
arithmetic.hold()
torch.set_rng_state(state)
for one, other in zip(before, values(), strict=True):
    torch.testing.assert_close(one, other)
a, b = made(5, 7).requires_grad_(), made(7, 3).requires_grad_()
assert torch.autograd.gradcheck(torch.mm, (a, b))
try:
    torch.mm(a, b.float())
except RuntimeError as error:
    print(error)
"""


def test_matrix_products_are_as_pytorchs_own_but_for_rounding():
    assert "both are of one type" in said(PRODUCTS)


# What is refused

STAGE = "from orchard.stages import stage; stage.run(lambda: print('ran'), is_named=False, computes={})"


def run_stage(*before: str, computes: bool = True, **variables: str) -> subprocess.CompletedProcess:
    """A stage that prints, behind some lines of code."""
    command = [sys.executable, "-c", "\n".join([*before, STAGE.format(computes)])]
    return subprocess.run(command, env=emulated.surroundings(**variables), text=True, capture_output=True)


NO_AVX2 = "from orchard import arithmetic; arithmetic.cpu_flags = lambda: {'sse2', 'fma'}"


def test_a_cpu_without_avx2_is_refused_where_a_stage_computes(study):
    done = run_stage(NO_AVX2)
    assert done.returncode == 1
    assert_one_message(done.stderr, ["without avx2,", "arithmetic: fast"])
    assert "ran" in run_stage(NO_AVX2, computes=False).stdout
    study("fast")
    assert "ran" in run_stage(NO_AVX2).stdout


def test_libraries_that_were_loaded_before_the_settings_are_refused(study):
    load = "import torch; torch.backends.cpu.get_cpu_capability()"
    done = run_stage(load, ATEN_CPU_CAPABILITY="default")
    assert_one_message(done.stderr, ["PyTorch computes by its code for DEFAULT"])
    assert "ran" in run_stage(f"from orchard import stages; {load}", ATEN_CPU_CAPABILITY="default").stdout
    study("fast")
    assert "ran" in run_stage(load, ATEN_CPU_CAPABILITY="default").stdout


def test_what_linux_says_of_a_cpu_is_read():
    assert {"sse2", "fpu"} <= arithmetic.cpu_flags() or not os.path.exists("/proc/cpuinfo")


# A whole study on other CPUs

CPUS = ("Haswell", "EPYC")  # one of Intel's, one of AMD's; `qemu-x86_64 -cpu help` has more


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, emulated.Run]:
    """What the study gives here, on CPUs of other kinds, and here without one setting; as many at once as cores."""
    asked = {"here": {}, **{cpu: {"on": cpu} for cpu in CPUS}, "without": {"left_out": ["MKL_CBWR"]}}
    folders = {name: emulated.make(tmp_path_factory.mktemp(name)) for name in asked}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        started = {name: pool.submit(emulated.run, folders[name], **how) for name, how in asked.items()}
    return {name: run.result() for name, run in started.items()}


@pytest.mark.parametrize("cpu", CPUS)
def test_a_study_has_the_same_bits_on_cpus_of_another_kind(runs, cpu):
    assert runs[cpu].differences(runs["here"]) == []
    assert {"results/report/claims.csv", "results/report/errors.png"} <= set(runs[cpu].hashes)
    assert runs[cpu].has_learnt(), "RL had no reward, so it computed no gradient: ask for more samples"


def test_without_one_of_the_settings_it_has_others(runs):
    assert "results/models/base-tiny-1/model.safetensors" in runs["without"].differences(runs["here"])
