"""The record of an output: hashes of content alone, versions without their build."""

import hashlib
import json
import tracemalloc

from orchard.models import record


def test_content_hash_sees_names_and_bytes_and_not_snakemakes_time_stamp(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "a").write_text("1")
    before = record.content_hash(folder)
    (folder / ".snakemake_timestamp").touch()
    assert record.content_hash(folder) == before
    (folder / "a").rename(folder / "b")
    assert record.content_hash(folder) != before


def test_a_record_names_the_version_that_is_pinned_and_no_build(tmp_path, monkeypatch):
    written = []
    for build in ("", "+cpu", "+cu130"):
        monkeypatch.setattr(record, "version", lambda library, build=build: f"2.13.0{build}")
        record.write(tmp_path, "sft", {}, [])
        written.append((tmp_path / record.FILE).read_text())
    assert len(set(written)) == 1
    assert json.loads(written[0])["versions"]["torch"] == "2.13.0"


def test_a_large_file_is_hashed_in_little_memory(tmp_path):
    file, content = tmp_path / "model.safetensors", b"weights " * 2**22
    file.write_bytes(content)
    expected = hashlib.sha256(content).hexdigest()
    tracemalloc.start()
    try:
        assert record.content_hash(file) == expected
        assert tracemalloc.get_traced_memory()[1] < len(content) / 16
    finally:
        tracemalloc.stop()
