"""The filter of system calls is there for the machines that it names."""

import struct

import pytest

from orchard.sandbox import seccomp


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_jump_of_the_filter_ends_inside(machine, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: machine)
    lines = list(struct.iter_unpack("HBBI", seccomp.program()))
    for place, (code, yes, no, _) in enumerate(lines):
        if code not in (seccomp.LOAD, seccomp.RETURN):
            assert place + 1 + max(yes, no) < len(lines)
    assert lines[-1][0] == seccomp.RETURN


def test_another_machine_has_no_filter(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert seccomp.program() is None
