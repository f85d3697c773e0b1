"""What a process in the sandbox gives up before it runs anything: memory, time, files, and its user."""

import os
import resource
import signal

MEGABYTE = 2**20


class OutOfTime(BaseException):
    """The CPU time is up."""


def confine(limits: dict, user: int | None) -> None:
    """Sets the limits, for good.

    Args:
        limits: as `orchard.sandbox.sandbox.Limits` has them.
        user: whom to become; None: stay.
    """
    for name, value in {
        "CPU": limits["cpu_seconds"],
        "AS": limits["memory_mb"] * MEGABYTE,
        "NPROC": limits["threads"],
        "FSIZE": limits["file_mb"] * MEGABYTE,
        "NOFILE": 64,
        "CORE": 0,
    }.items():
        resource.setrlimit(getattr(resource, "RLIMIT_" + name), (value, value + (name == "CPU")))
    signal.signal(signal.SIGXCPU, _give_up)  # a program that goes on is killed a second later
    if user is not None:  # root is held by no limit of threads
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)


def _give_up(*_) -> None:
    raise OutOfTime
