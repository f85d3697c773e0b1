"""Rows of large files: those that are asked for, and no others in memory."""

import json
import tracemalloc
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from orchard import jsonl, rows
from orchard.errors import UserError
from orchard.tasks.columns import Where
from tests.helpers.messages import assert_one_message

SIZE, TEXT = 20_000, "x" * 1000  # 20 MB of text


def large(folder: Path, ending: str) -> Path:
    """A file of many rows, of Parquet in row groups of 1,000."""
    file = folder / f"rows{ending}"
    made = ({"n": n, "kind": "even" if n % 2 == 0 else "odd", "text": f"{n} {TEXT}"} for n in range(SIZE))
    if ending == ".jsonl":
        jsonl.write(file, made)
    else:
        parquet.write_table(pyarrow.Table.from_pylist(list(made)), file, row_group_size=1000)
    return file


@pytest.mark.parametrize("ending", rows.ENDINGS)
def test_a_few_rows_of_many_take_little_memory(tmp_path, ending):
    file = large(tmp_path, ending)
    tracemalloc.start()
    try:
        numbers = rows.numbers(file)
        found = list(rows.taken(file, numbers[5::5000]))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [line.row["n"] for line in found] == [5, 5005, 10005, 15005]
    assert rows.count(file) == len(numbers) == SIZE
    assert most < 2**20  # the file has 20


def test_of_parquet_the_row_groups_that_are_needed_are_read(tmp_path, monkeypatch):
    file, groups = large(tmp_path, ".parquet"), []
    ask = parquet.ParquetFile.iter_batches

    def noted(self, size, row_groups, columns):
        groups.append((*row_groups, columns))
        return ask(self, size, row_groups, columns)

    monkeypatch.setattr(parquet.ParquetFile, "iter_batches", noted)
    assert [line.number for line in rows.taken(file, [2001, 2002, 5000])] == [2001, 2002, 5000]
    assert groups == [(2, None), (4, None)]
    groups.clear()
    where = Where({"kind": "odd"})
    assert len(rows.numbers(file, where)) == SIZE // 2
    assert groups == [(group, ["kind"]) for group in range(20)]


def test_lines_that_are_not_asked_for_are_not_parsed_but_the_last(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"n": 1}\n\nno JSON\n{"n": 4}\n')
    assert list(rows.taken(file, [1, 4])) == [(1, {"n": 1}), (4, {"n": 4})]
    assert list(rows.numbers(file)) == [1, 3, 4]
    with pytest.raises(UserError, match="line 3"):
        list(rows.taken(file, [3]))
    file.write_text('{"n": 1}\n{"n": 2}\n{"n": ')  # cut off
    with pytest.raises(UserError, match="line 3"):
        list(rows.taken(file, [1]))


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no Parquet"])
def test_a_broken_parquet_file_is_one_message(tmp_path, content):
    file = tmp_path / "rows.parquet"
    file.write_bytes(content)
    for read in (rows.count, rows.numbers, lambda path: list(rows.taken(path, [1]))):
        with pytest.raises(UserError) as error:
            read(file)
        assert_one_message(str(error.value), ["rows.parquet", "no whole Parquet file"])


def test_a_parquet_file_without_rows_is_refused(tmp_path):
    parquet.write_table(pyarrow.table({"n": pyarrow.array([], pyarrow.int64())}), tmp_path / "rows.parquet")
    with pytest.raises(UserError, match="no rows"):
        rows.numbers(tmp_path / "rows.parquet")


def test_both_forms_hold_the_same_rows(tmp_path):
    made = [{"id": "a\u2028b\x85c", "turns": [{"role": "user", "content": "é"}], "n": None}, {"id": "d", "n": 3}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made))
    parquet.write_table(pyarrow.Table.from_pylist(made), tmp_path / "a.parquet")
    found = [[line.row for line in rows.taken(tmp_path / f"a{ending}", [1, 2])] for ending in rows.ENDINGS]
    assert found[0] == made
    assert found[1] == [made[0], made[1] | {"turns": None}]
