"""What a job restores instead of running it: brought into DVC's cache from the remote, and hashed from its bytes.

DVC takes an object of its cache for sound if the file is write-protected, and one of a remote if it is there. A changed
byte would go on into every result behind it, so each object that a job is about to use is hashed here; a bad one is
removed, fetched anew, or else the stage's command runs.
"""

import hashlib
import logging
import os
import queue
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from orchard import paths
from orchard.errors import UserError
from orchard.lineage import gate, graph, parsed, project
from orchard.lineage.graph import Stage

ANSWERS_WITHIN = 60  # seconds for a remote to answer at all: ours; an SSH connection alone would wait for half an hour
ALONE = "ORCHARD_WITHOUT_REMOTE"  # set for the jobs of a run that goes on without its remote
FIX = """repair it (docs/sharing.md), or leave it out in this clone: `dvc config --local core.remote ""`"""


def meet(changed: list[str]) -> None:
    """At the start of a run: fetches what the remote knows of earlier runs, if one is named.

    Where it cannot be reached and nothing of dvc.lock is missing here, the run goes on without it, with a warning.

    Args:
        changed: the stages that DVC calls changed.

    Raises:
        UserError: it cannot be reached, and outputs in dvc.lock are missing here, which others have computed.
    """
    os.environ.pop(ALONE, None)
    with gate.repository() as repo:
        if not (name := remote_name(repo)):
            return
        if reason := trouble(repo):
            outs = [(s.addressing, out) for s in repo.index.stages if s.addressing in set(changed) for out in s.outs]
            missing = [stage for stage, out in outs if out.hash_info and out.changed_cache()]
            if missing:
                raise unreachable(repo, reason, f"{missing[0]} and {len(missing) - 1} more")
            print(f"{named(repo)} is left out of this run: {reason}", file=sys.stderr)
            os.environ[ALONE] = "1"
        else:
            from_remote = repo.cloud.get_remote(name).legacy_odb
            repo.stage_cache.transfer(from_remote, repo.cache.legacy, force=False)


def bring(name: str) -> None:
    """Before DVC reproduces a stage: whatever it would restore is in the cache and sound, or gone from there.

    Args:
        name: the stage.

    Raises:
        UserError: the remote broke while it was asked for an object that is missing here.
    """
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    with project.opened(graph.needed(parsed.read(paths.PARAMS), name), names=[name]) as opened:
        if not (md5 := restorable(opened, opened.stages[name])):
            return
        out, wanted = opened.repo.stage.load_one(name=name).outs[0], HashInfo("md5", md5)
        if bring_objects(out, [wanted]) and wanted.isdir:
            bring_objects(out, [info for _, _, info in Tree.load(out.cache, wanted)])


def restorable(opened: project.Project, stage: Stage) -> str | None:
    """The MD5 of what DVC would restore as a stage's output: of dvc.lock, or of an earlier run in the run cache.

    None where it would restore nothing: the output is here, an input is missing, or nothing is known of one.
    """
    if any(opened.here(dep) == project.ABSENT for dep in stage.deps):
        return None
    if opened.changes(stage, {}):
        return opened.once_made(stage, {})
    md5 = opened.recorded(stage)
    return None if opened.here(stage.out) == md5 else md5


def bring_objects(out, infos: list) -> bool:
    """Brings objects of an output into the cache; whether all are there and sound. A bad one is removed with a warning.

    Args:
        out: DVC's output.
        infos: the hashes of the objects.

    Raises:
        UserError: the remote broke.
    """
    missing = [info for info in infos if not is_sound(out, info.value)]
    if not missing or not remote_name(out.repo):
        return not missing
    logging.disable()  # each object's failure is printed below, by what it means
    try:
        out.repo.cloud.pull(missing)
        reason = None
    except UserError:  # the gate's
        raise
    except Exception as error:  # every kind of remote has errors of its own
        reason = trouble(out.repo) or words_of(error)
    finally:
        logging.disable(logging.NOTSET)
    missing = [info for info in missing if not is_sound(out, info.value, "fetched from the remote")]
    if missing and (reason := reason or trouble(out.repo)):
        raise unreachable(out.repo, reason, out.stage.addressing or str(out))
    for info in missing:
        _print_lost(out, info.value)
    return not missing


def is_sound(out, oid: str, origin: str = "of the cache") -> bool:
    """Whether the cache has an object whose bytes are what its name says; one of other bytes is removed."""
    path = Path(out.cache.oid_to_path(oid))
    if not path.is_file():
        return False
    with path.open("rb") as file:
        if hashlib.file_digest(file, "md5").hexdigest() == oid.removesuffix(".dir"):
            return True
    path.unlink(missing_ok=True)
    print(f"corrupted: object {oid} {origin}, of {out}: removed from the cache", file=sys.stderr, flush=True)
    return False


def _print_lost(out, oid: str) -> None:
    """Says that the remote has an object only with other bytes, or not at all, so that the stage runs."""
    odb = out.repo.cloud.get_remote().odb
    if odb.exists(oid):
        # DVC takes a folder's objects for pushed where the list of the folder is.
        where = " and ".join(odb.oid_to_path(name) for name in dict.fromkeys([oid, out.hash_info.value]))
        found, fix = "has other bytes than its name says", f"remove {where} there, then `make share`"
    else:
        found, fix = "is not there", "`make share` from a clone that has it"
    print(
        f"{named(out.repo)}: object {oid} of {out} {found}: it is not used, the stage runs; to mend the remote, {fix}",
        file=sys.stderr,
        flush=True,
    )


def look(remote) -> None:
    """Lists what is on a remote; what is wrong comes as an exception."""
    remote.fs.ls(remote.path, detail=False)


def trouble(repo, attempt: Callable = look) -> str | None:
    """Why the remote cannot be used; None if it can.

    Args:
        repo: DVC's repository.
        attempt: what is tried with the remote.
    """
    answer = queue.Queue()

    def ask() -> None:
        try:
            attempt(repo.cloud.get_remote())
            answer.put(None)
        except FileNotFoundError:
            answer.put("there is no such folder, or nothing in it")
        except Exception as error:  # every kind of remote has errors of its own
            answer.put(words_of(error))

    threading.Thread(target=ask, daemon=True).start()
    try:
        return answer.get(timeout=ANSWERS_WITHIN)
    except queue.Empty:
        return f"no answer within {ANSWERS_WITHIN} s"


def remote_name(repo) -> str | None:
    """The remote that the project names, unless this run goes on without it."""
    return None if os.environ.get(ALONE) else repo.config["core"].get("remote")


def refuse_none(repo, why: str, fix: str) -> None:
    """Raises a UserError where the project names no remote.

    Args:
        repo: DVC's repository object.
        why: what a remote is needed for.
        fix: how to name one.
    """
    if not remote_name(repo):
        raise UserError(found="no DVC remote", rule="the project names one", why=why, fix=fix)


def url(repo) -> str:
    """Where the remote is."""
    return repo.config["remote"].get(repo.config["core"]["remote"], {}).get("url", "which .dvc/config does not have")


def named(repo) -> str:
    """The remote as messages name it."""
    return f"remote {remote_name(repo)!r} ({url(repo)})"


def words_of(error: Exception) -> str:
    """An error's own words, in one line."""
    return " ".join(str(error).split()) or type(error).__name__


def unreachable(repo, reason: str, needed: str) -> UserError:
    """The message for a remote that does not answer."""
    return UserError(
        found=f"{named(repo)}: {reason}",
        rule="a remote that the project names can be reached while outputs of dvc.lock are missing here",
        why=f"what is missing ({needed}) was computed before; to compute it again may take days",
        fix=FIX,
    )
