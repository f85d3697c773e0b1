"""Pushing every output to the DVC remote, with one message where it fails."""

import io
import logging
from collections import Counter

from orchard.errors import UserError
from orchard.lineage import gate
from orchard.rerun import remote

LOGGERS = ("dvc", "dvc_data", "dvc_objects")
PROBE = "orchard-can-write"  # a file that is written to the remote and removed again


def push() -> str:
    """Pushes all objects of dvc.lock and the run cache to the remote that the project names; returns what it pushed.

    Raises:
        UserError: there is no remote, it cannot be written, or an object was not taken. What was pushed stays, and
            nothing local changes.
    """
    with gate.repository() as repo:
        remote.refuse_none(repo, "outputs go there", "make share REMOTE=/path/or/url")
        if reason := remote.trouble(repo, write):
            raise refused(repo, reason)
        reasons = Reasons()
        for name in LOGGERS:
            logging.getLogger(name).handlers = [reasons]  # in place of DVC's own, which print a line for each object
            logging.getLogger(name).propagate = False
        repo.drop_data_index()  # a push that was killed leaves a part of it, and DVC would push that part alone
        try:
            pushed = repo.push(run_cache=True)
        except UserError:  # the gate's
            raise
        except Exception as error:  # every kind of remote has errors of its own
            raise refused(repo, reasons.text() or remote.words_of(error)) from error
        if reasons.counts:
            raise refused(repo, reasons.text())
        return f"{pushed} files pushed to {remote.url(repo)}"


class Reasons(logging.Handler):
    """Counts the reasons that DVC logs, one for each object, instead of printing them all."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.counts = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self.counts[getattr(error, "strerror", None) or (remote.words_of(error) if error else record.getMessage())] += 1

    def text(self) -> str:
        """Each reason with its count."""
        return "; ".join(f"{count} files were not taken: {reason}" for reason, count in self.counts.most_common())


def write(place) -> None:
    """Writes a small file to a remote and removes it; what is wrong comes as an exception."""
    path = place.fs.join(place.path, PROBE)
    place.fs.put_file(io.BytesIO(b"orchard"), path)
    place.fs.remove(path)


def refused(repo, reason: str) -> UserError:
    """The message for a push that failed."""
    return UserError(
        found=f"{remote.named(repo)}: {reason}",
        rule="the remote takes every object",
        why="others would miss what it does not have; nothing here is lost, and what was pushed stays",
        fix="repair it (docs/sharing.md), then `make share` again: it pushes what is missing",
    )
