"""A time limit for checks of what a model wrote: a short response can ask for more arithmetic than a day holds."""

import contextlib
import signal
import threading
from collections.abc import Iterator


class OutOfTimeError(BaseException):
    """The time is up. No Exception, so that a library that catches those does not carry on."""


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises OutOfTimeError in the block after ``seconds``; in a thread beside the main one there is no limit.

    Signals reach the main thread alone, and every stage checks responses there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGALRM, _stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _stop(*_) -> None:
    raise OutOfTimeError
