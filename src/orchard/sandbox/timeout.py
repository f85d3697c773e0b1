"""A time limit for checks of what a model wrote: a short response can ask for more arithmetic than a day holds."""

import contextlib
import signal
import threading
from collections.abc import Iterator


class OutOfTimeError(BaseException):
    """The time is up. No Exception, so that a library that catches those does not carry on."""


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises OutOfTimeError in the block after ``seconds`` of the process's CPU time; only the main thread has a limit.

    A busy machine changes no verdict, as it would by the clock. Signals reach the main thread alone, and every stage
    checks responses there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGPROF, _stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)


def _stop(*_) -> None:
    raise OutOfTimeError
