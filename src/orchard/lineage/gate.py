"""The gate before DVC: what comes from others is checked at each place where DVC takes it in.

dvc.lock comes by git, lists of folders (`.dir`) and the run cache come from remotes. DVC makes paths of their hashes
and names, and reads, writes and deletes files there. So whatever opens DVC opens it here (`repository`, `install`), and
DVC's readers pass on what is in its form alone:

- dvc.lock and each entry of the run cache: `orchard.lineage.lock`; an entry's content is what its name says;
- a list of a folder: relative paths that stay in the folder, each once, with an MD5 each;
- an output: a path in the project, not in a hidden folder such as .git;
- an object: its name is an MD5, and in a cache it is no link;
- a stage: its name and the options of its command have letters that a shell takes as they are.

What is found ends the command in one message. An entry of a remote's run cache is left out, and named.
"""

import contextlib
import copy
import functools
import os
import platform
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import platformdirs
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from orchard import git, paths, yamls
from orchard.errors import UserError
from orchard.lineage import lock

OBJECT = re.compile(r"[0-9a-f]{,32}(\.dir)?")  # the name of an object, or how it begins, by which a remote is listed
RUN = re.compile(r"runs/([0-9a-f]{2})/\1[0-9a-f]{62}/[0-9a-f]{64}")  # where an entry of the run cache lies
STAGE = re.compile(r"[a-z]+(@[a-z0-9]+([-.][a-z0-9]+)*)?")
OPTION = re.compile(r"[a-z]+(_[a-z]+)*")
SITE_CACHE = "DVC_SITE_CACHE_DIR"  # DVC's variable for where it keeps the hashes of files that it saw
SECRETS = ("password", "token", "secret", "account_key", "connection_string")  # in the names of a remote's settings


_refused: list[UserError] = []  # in the block of `unswallowed`


# Opening DVC


@contextlib.contextmanager
def repository(core: dict | None = None, names: Iterable[str] | None = None) -> Iterator:
    """DVC's repository object of the working folder, behind the gate.

    Args:
        core: settings of DVC's section ``core``, for this time alone.
        names: the stages whose entries of dvc.lock are used; None: all.

    Raises:
        UserError: dvc.lock or the settings of a remote break a rule, or DVC cannot open the folder.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.scm import SCMError

    install()
    lock.read_if_there(names=names)
    try:
        opened = Repo(config={"core": core} if core else None)
    except SCMError as error:
        raise git.no_repository("DVC notes in git what it tracks") from error
    except DvcException as error:
        raise stopped(error) from error
    except OSError as error:
        raise UserError(
            found=f"DVC cannot open the project: {error}",
            rule="the project's folder can be written",
            why=f"DVC keeps locks in {paths.DVC_SCRATCH}, and the hashes that it has seen",
            fix="copy or clone the project to where you can write; `orchard trace` and `orchard config` only read",
        ) from error
    with opened as repo:
        refuse_secrets(repo.config.read("repo")["remote"], repo.config["remote"])
        with unswallowed():
            yield repo


@contextlib.contextmanager
def unswallowed() -> Iterator[None]:
    """Raises at the end of the block what the gate refused in it: DVC goes on after some errors.

    Raises:
        UserError: something was refused.
    """
    _refused.clear()
    try:
        yield
    finally:
        if _refused:
            raise _refused[0]


@functools.cache
def install() -> None:
    """Puts the checks into DVC in this process, and its hashes of files into the user's own folder."""
    import dvc.dvcfile
    import dvc.output
    import dvc.stage.cache
    import dvc_data.hashfile.db.local
    import dvc_data.hashfile.tree
    import dvc_objects.db

    os.environ.setdefault(SITE_CACHE, str(site_cache()))
    keep_private(paths.DVC_LOCAL)
    dvc.dvcfile.Lockfile.SCHEMA = functools.partial(_passed, dvc.dvcfile.Lockfile.SCHEMA)
    dvc.output._get = functools.partial(_output, dvc.output._get)
    dvc.stage.cache.StageCache._load = _newest_run
    dvc.stage.cache.StageCache.transfer = _transfer_runs
    tree = dvc_data.hashfile.tree.Tree
    tree.from_list = classmethod(functools.partial(_list, tree.from_list.__func__))
    local = dvc_data.hashfile.db.local.LocalHashFileDB
    local.oid_to_path = _cached_object(local.oid_to_path)
    dvc_objects.db.ObjectDB._oid_parts = _remote_object(dvc_objects.db.ObjectDB._oid_parts)


def site_cache() -> Path:
    """Where DVC keeps what it shares between repositories: in the user's own folder, and by machine.

    By itself it is a folder of /var/tmp that all users of the machine may write. Machines are apart because a database
    on a network's disk is not safe from two of them. Where there is no home to write to, it is the project's.
    """
    for folder in (platformdirs.user_cache_path("orchard") / "dvc" / platform.node(), paths.DVC_SCRATCH / "site"):
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.access(folder, os.W_OK):
                break
    return folder.absolute()


def keep_private(file: Path) -> None:
    """Takes the right to read a file from all but its owner: .dvc/config.local has passwords."""
    if file.is_file() and not file.is_symlink() and file.stat().st_mode & 0o077:
        with contextlib.suppress(PermissionError):  # another user's
            file.chmod(0o600)


def stopped(error: Exception) -> UserError:
    """The message for an error of DVC's own."""
    return UserError(
        found=f"DVC stops: {error}",
        rule="DVC can read the stages of dvc.yaml, in a folder with .dvc",
        why="they say what is stale",
        fix="correct what it names; `git status` shows what differs from the commit",
    )


def refuse_secrets(committed: dict, all_levels: dict) -> None:
    """Raises a UserError for a password in a remote's URL, or a secret in the config that git keeps.

    Args:
        committed: the settings of each remote in .dvc/config.
        all_levels: those of all of DVC's configs.
    """
    for name, settings in all_levels.items():
        refuse_password(name, settings.get("url", ""))
    for name, settings in committed.items():
        if secrets := [key for key in settings if any(word in key for word in SECRETS) and "ask" not in key]:
            raise UserError(
                found=f"{secrets[0]} of the remote {name!r} in .dvc/config",
                rule="secrets stand in .dvc/config.local",
                why="git keeps .dvc/config, for all to read",
                fix=f"`dvc remote modify --unset {name} {secrets[0]}`, and set it with --local; "
                "if it was committed, take a new one, because git's history has it",
            )


def refuse_password(name: str, url: str) -> None:
    """Raises a UserError for a password in a remote's URL."""
    parts = urlsplit(url)
    if parts.scheme and parts.password is not None:
        clean = parts._replace(netloc=f"{parts.username}@{parts.netloc.rpartition('@')[2]}").geturl()
        raise UserError(
            found=f"a password in the URL of the remote {name!r} ({clean} without it)",
            rule="a URL has no password",
            why="git keeps .dvc/config, for all to read, and messages print the URL",
            fix=f"`make remote REMOTE={clean}`, then `dvc remote modify --local {name} password ...`; "
            "if it was committed, take a new one, because git's history has it",
        )


# Stages


def refuse_names(stages: Iterable[str], options: Iterable[str]) -> None:
    """Raises a UserError for a name that a shell would take for more than a name; DVC puts them into commands.

    Args:
        stages: names of stages, of dvc.yaml and params.yaml.
        options: the keys of the runs in params.yaml.
    """
    for kind, pattern, names in (("stage", STAGE, stages), ("option of a run", OPTION, options)):
        if bad := [name for name in names if not (isinstance(name, str) and pattern.fullmatch(name))]:
            raise UserError(
                found=f"{paths.PARAMS} or {paths.GRAPH}: {bad[0]!r} as the name of a {kind}"[:300],
                rule="names are made of small letters and digits, joined by hyphens",
                why="they become parts of commands, which a shell runs, and of file names",
                fix=f"`orchard check` writes {paths.PARAMS} anew, from {paths.CONFIG}",
            )


def refuse_outs(outs: Iterable[str], cache: Path | None = None) -> None:
    """Raises a UserError for an output that would be written outside the project.

    Args:
        outs: paths of outputs, from the project's root.
        cache: DVC's cache, into which outputs may be links; None: links are not looked for.
    """
    for out in outs:
        if reason := lock.outside(out) or ("no stage writes there" if lock.hidden(out) else None):
            raise _escapes(out, reason)
        if cache and os.path.islink(out) and not Path(out).resolve().is_relative_to(cache.resolve()):
            raise _escapes(out, f"it is a link to {os.readlink(out)}")


def _escapes(out: str, reason: str) -> UserError:
    return UserError(
        found=f"an output {out!r}: {reason}",
        rule="an output is a relative path in the project, and no link to elsewhere",
        why="DVC and the stages replace and remove what lies there",
        fix=f"correct {paths.GRAPH}, {paths.PARAMS} or the .dvc file that names it (`orchard check` writes "
        f"{paths.PARAMS} anew); a link that you know you can remove",
    )


def _kept(check):
    """A check in one of DVC's readers, whose refusal is kept for `unswallowed`."""

    @functools.wraps(check)
    def kept(*arguments, **options):
        try:
            return check(*arguments, **options)
        except UserError as error:
            _refused.append(error)
            raise

    return kept


@_kept
def _output(make, stage, path: str, **options):
    """DVC's maker of an output, from a dvc.yaml, a .dvc file or an entry of the run cache."""
    from dvc.fs import LocalFileSystem

    refuse_outs([path])
    folder = os.path.relpath(stage.wdir, stage.repo.root_dir) if isinstance(stage.repo.fs, LocalFileSystem) else "."
    refuse_outs([os.path.normpath(os.path.join(folder, path))])
    return make(stage, path, **options)


# dvc.lock, and lists of folders


@_kept
def _passed(schema, data: object) -> object:
    """DVC's own check of a dvc.lock behind this one's."""
    lock.parse(data)
    return schema(data)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    relpath: Annotated[str, AfterValidator(lock.inside)]
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    size: lock.Size | None = None
    isexec: bool = False


_FILES = TypeAdapter(list[_File])


@_kept
def _list(make, kind, files: object, hash_name: str | None = None):
    """DVC's reader of a list of a folder's files."""
    check_list(files)
    return make(kind, files, hash_name=hash_name)


def check_list(files: object) -> None:
    """Raises a UserError if a list of a folder's files would write or read outside that folder."""
    try:
        names = [file.relpath for file in _FILES.validate_python(files)]
    except ValidationError as error:
        first = error.errors()[0]
        raise _hostile_list(f"{str(first['input'])[:80]!r} ({first['msg']})") from None
    folders = {parent.as_posix() for name in names for parent in list(Path(name).parents)[:-1]}
    if double := [name for name in names if names.count(name) > 1] if len(set(names)) < len(names) else None:
        raise _hostile_list(f"{double[0]!r} twice")
    if both := folders & set(names):
        raise _hostile_list(f"{min(both)!r} as a file and as a folder")


def _hostile_list(what: str) -> UserError:
    return UserError(
        found=f"a list of a folder's files (.dir) in DVC's cache or remote: {what}",
        rule="it names files in its folder, each once, with the MD5 of each",
        why="DVC would write, read or delete files outside the folder",
        fix="do not use this dvc.lock or this remote, or ask who made them; `orchard verify` needs no remote",
    )


# Objects


@_kept
def _refuse_object(oid: str) -> None:
    if not (isinstance(oid, str) and OBJECT.fullmatch(oid)):
        raise UserError(
            found=f"an object named {str(oid)[:80]!r}",
            rule="the name of an object is an MD5, 32 digits of 0 to 9 and a to f, with .dir for a folder's list",
            why="DVC makes the object's path of it, in the cache and on the remote",
            fix="`git checkout dvc.lock`, or do not use the remote whose list has it",
        )


def _remote_object(parts):
    """DVC's place of an object on a remote."""

    def checked(self, oid: str) -> tuple[str, str]:
        _refuse_object(oid)
        return parts(self, oid)

    return checked


def _cached_object(place):
    """DVC's place of an object in a local cache, or a remote that is a folder."""

    def checked(self, oid: str) -> str:
        _refuse_object(oid)
        path = place(self, oid)
        _refuse_link(path)
        return path

    return checked


@_kept
def _refuse_link(path: str) -> None:
    for link in (path, os.path.dirname(path)):
        if os.path.islink(link):
            raise UserError(
                found=f"{link} is a link to {os.readlink(link)}",
                rule="what lies in DVC's cache is a file of its own",
                why="DVC would hand out, change or remove what lies elsewhere",
                fix=f"`rm {link}`; what is missing is fetched or made anew",
            )


# The run cache


def newest_run(folder: Path) -> dict | None:
    """The newest entry in a folder of the run cache: what a stage with these inputs once made; None without any.

    Raises:
        UserError: the entry is not what its name says.
    """
    entries = [
        entry for entry in (folder.iterdir() if folder.is_dir() else ()) if re.fullmatch("[0-9a-f]{64}", entry.name)
    ]
    if not entries:
        return None
    newest = max(entries, key=lambda entry: entry.lstat().st_mtime)  # DVC takes the newest as well
    if reason := broken_run(newest):
        raise UserError(
            found=f"{newest}, an entry of the run cache: {reason}",
            rule="an entry has the form of a stage in dvc.lock, and its name is the hash of its content",
            why="DVC restores what it names, wherever that is, instead of running the stage",
            fix=f"`rm {newest}`: the stage then runs",
        )
    return yamls.read(newest)


def broken_run(file: Path) -> str | None:
    """Why an entry of the run cache is not what its name says; None if it is.

    The name of its folder is the hash of command, inputs, parameters and paths of outputs, so that an entry with other
    outputs than the stage's own cannot lie where the stage looks.
    """
    from dvc.stage.cache import _get_cache_hash

    if file.is_symlink() or file.parent.is_symlink():
        return "it is a link"
    try:
        tree = yamls.read(file)
        lock.checked(lock.StageForm, tree, str(file))
    except UserError as error:
        return str(error).partition("\n")[0].removeprefix("found: ").removeprefix(f"{file}: ")
    named = (_get_cache_hash(copy.deepcopy(tree), key=True), _get_cache_hash(copy.deepcopy(tree)))
    return None if named == (file.parent.name, file.name) else "its name is not that of its content"


@_kept
def _newest_run(self, stage) -> dict | None:
    """DVC's look into the run cache for a stage."""
    from dvc.stage.cache import _get_stage_hash

    return newest_run(Path(self._get_cache_dir(_get_stage_hash(stage))))


def _transfer_runs(self, from_odb, to_odb, force: bool = True) -> list[tuple[str, str]]:
    """DVC's push and pull of the run cache; a bad entry is left out, and said.

    Args:
        self: DVC's run cache.
        from_odb: where the entries are.
        to_odb: where they go.
        force: also where there is an entry of the same key.
    """
    from dvc.fs import HTTPFileSystem, LocalFileSystem, generic
    from dvc.stage.cache import RunCacheNotSupported

    here, there = from_odb.fs, to_odb.fs
    if isinstance(here, HTTPFileSystem) or isinstance(there, HTTPFileSystem):
        raise RunCacheNotSupported("a run cache cannot be listed over HTTP")
    runs, moved = here.join(from_odb.path, "runs"), []
    for source in here.find(runs) if here.exists(runs) else ():
        name = here.relpath(source, from_odb.path).replace(os.sep, "/")
        target = there.join(to_odb.path, *name.split("/"))
        if not RUN.fullmatch(name):
            reason = "it is no name of an entry"
        elif not force and there.exists(there.parent(target)) and there.find(there.parent(target)):
            continue
        elif not (reason := (isinstance(here, LocalFileSystem) and broken_run(Path(source))) or None):
            generic.log_exceptions(generic.copy)(here, source, there, target)
            if isinstance(there, LocalFileSystem) and Path(target).exists() and (reason := broken_run(Path(target))):
                Path(target).unlink()
        if reason:
            print(f"{name!r} of the run cache in {from_odb.path} is left out: {reason}", file=sys.stderr, flush=True)
        else:
            moved.append(tuple(name.split("/")[-2:]))
    return moved
