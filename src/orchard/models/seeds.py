"""The seeds of the random choices of a chain, from pretraining to recovery: each has a stream of its own."""

import numpy as np


def seed_of(choice: str, *numbers: int | None) -> int:
    """The seed of one kind of random choice, below 2**31.

    It is drawn by numpy's SeedSequence, so streams of different choices or numbers have nothing to do with each other,
    and it is the same on every machine.

    Args:
        choice: what is drawn, in words: ``order of pretraining``.
        numbers: the replicate's seed, and what else tells this draw from others of its kind. None, of a loaded base,
            which has no seed, is another stream than any number.
    """
    told = [0 if number is None else number + 1 for number in numbers]
    (drawn,) = np.random.SeedSequence([*told, *choice.encode()]).generate_state(1)
    return int(drawn >> 1)
