"""Moving across file systems, and the one message for what the machine refuses."""

import errno
import os
from pathlib import Path

import pytest

from orchard import errors, files
from tests.helpers.messages import assert_one_message


@pytest.fixture
def across_file_systems(monkeypatch):
    """Only what lies in one folder can be renamed, as if each folder were on a disk of its own."""
    rename = Path.rename

    def rename_beside(self, target):
        if self.parent != Path(target).parent:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(self))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", rename_beside)


def test_a_folder_moves_whole_across_file_systems(tmp_path, across_file_systems):
    source, target = tmp_path / "a/model", tmp_path / "b/c/model"
    (source / "inner").mkdir(parents=True)
    (source / "inner/weights").write_text("1")
    (source / "link").symlink_to("inner/weights")
    (target.parent / ".model.half").mkdir(parents=True)
    (target.parent / ".model.half/old").write_text("left by a kill")
    files.move(source, target)
    assert sorted(path.name for path in target.rglob("*")) == ["inner", "link", "weights"]
    assert os.readlink(target / "link") == "inner/weights"
    assert [path.name for path in target.parent.iterdir()] == ["model"]
    assert not source.exists()


def test_what_cannot_be_moved_stays(tmp_path, across_file_systems):
    source = tmp_path / "a/rows"
    source.parent.mkdir()
    source.write_text("rows")
    with pytest.raises(FileExistsError):
        files.move(source, source / "below")
    assert source.read_text() == "rows"
    (tmp_path / "full").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space") as refused:
        files._copy(source, tmp_path / "full")
    assert_one_message(str(errors.of_machine(refused.value)), [str(tmp_path / "full"), "df -h"])


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (OSError(errno.EROFS, "Read-only file system", "results"), "results: Read-only file system"),
        (PermissionError(errno.EACCES, "Permission denied", "data"), "data: Permission denied"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "Disk quota exceeded"),
        (MemoryError(), "the memory is used up"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: tried 9 bytes"),
            "the memory is used",
        ),
    ],
    ids=str,
)
def test_what_the_machine_refuses_is_one_message(error, found):
    assert_one_message(str(errors.of_machine(error)), [f"found: {found}"])


def test_other_errors_are_none_of_the_machine():
    assert errors.of_machine(ValueError("x")) is None
    assert errors.of_machine(FileNotFoundError(errno.ENOENT, "No such file", "x")) is None
