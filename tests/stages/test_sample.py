"""What models write, in shards: the same bytes in any number of them, and after a kill."""

from pathlib import Path

import pandas
import pytest

from orchard import jsonl, paths, yamls
from orchard.engines.static import Static
from orchard.errors import UserError
from orchard.models import record
from orchard.stages import behave, sample
from orchard.study import runs
from orchard.study.schema.behave import ModelPolicy
from orchard.study.schema.common import SampleRun, Sampling
from orchard.study.schema.study import Study
from tests.helpers import small_study as small
from tests.helpers.llama import random_llama, save_base
from tests.helpers.studies import DEFAULT, WHOLE, edited, write_params

ASKED = Sampling(seed=3, temperature=1.0, max_new_tokens=6, batch_size=2)
POLICY = ModelPolicy(
    kind="model", model=small.MODEL, prompts=str(small.ITEMS), sampling=ASKED, top_k=2, keep_policy=True
)


def policy_data(shards: int) -> Path:
    """Runs the stages of a policy; returns its data."""
    policy = POLICY.model_copy(update={"shards": shards})
    run_shards([policy.shard("own", number + 1, shards) for number in range(shards)], {"behave.own": policy})
    behave.main("own")
    return paths.behaviour("own")


def author_data(shards: int) -> list[dict]:
    """Runs the stages of an author; returns the responses."""
    author = small.ITSELF.model_copy(update={"shards": shards, "batch_size": 2, "top_p": 0.9})
    name = f"{small.MODEL}-self"
    own = [author.shard(name, small.MODEL, str(small.ITEMS), number + 1, shards) for number in range(shards)]
    run_shards(own, {"recover.responses.self": author, "recover.prompts": str(small.ITEMS)})
    return small.responses_of("self")


def run_shards(own: list[SampleRun], changes: dict) -> None:
    """Writes the study and runs the stages of the shards, in any order, if there are several."""
    named = {f"part-{run.shard}": run.model_dump() for run in own}
    plain = {key: value if isinstance(value, str) else value.model_dump() for key, value in changes.items()}
    write_params({**plain, "runs": {"sample": named}})
    for name in reversed(named) if len(named) > 1 else ():
        sample.main(name)


def test_any_number_of_shards_gives_a_policys_data_to_the_byte(small_study):
    whole = record.content_hash(policy_data(1))
    rows = pandas.read_parquet(paths.behaviour("own") / "rows.parquet")
    assert len(rows) == 9
    assert rows["completion_ids"].map(len).nunique() > 1
    assert [record.content_hash(policy_data(shards)) for shards in (2, 3, 5, 8)] == [whole] * 4


def test_any_number_of_shards_gives_an_authors_responses(small_study):
    whole = author_data(1)
    assert len({tuple(row["completion_ids"]) for row in whole}) > 5
    assert [author_data(shards) for shards in (2, 3, 8)] == [whole] * 3


def test_shards_are_whole_batches_and_all_of_them():
    for count in (0, 1, 7, 64, 100):
        for shards in (1, 2, 3, 8):
            parts = [sample.batches_of(POLICY.shard("own", number + 1, shards), count) for number in range(shards)]
            joined = [batch for part in parts for batch in part]
            assert [place for batch in joined for place in batch] == list(range(count))
            assert all(len(batch) == 2 for batch in joined[:-1])
            sizes = [len(part) for part in parts]
            assert max(sizes) - min(sizes) <= 1


def test_a_killed_stage_goes_on_behind_its_last_batch(small_study, monkeypatch):
    undisturbed = policy_data(1).rename("undisturbed")
    sampled = asked_for(monkeypatch, kill_at=4)
    with pytest.raises(KeyboardInterrupt):
        policy_data(1)
    assert sampled == [0, 2, 4, 6]
    sampled = asked_for(monkeypatch)
    assert record.content_hash(policy_data(1)) == record.content_hash(undisturbed)
    assert sampled == [6, 8]
    assert not (paths.RESUME / paths.behaviour("own")).exists()


def test_of_several_shards_the_one_that_was_killed_goes_on(small_study, monkeypatch):
    undisturbed = policy_data(2).rename("undisturbed")
    second = paths.samples("behave", "own") / "2.parquet"
    whole = second.read_bytes()
    second.unlink()
    sampled = asked_for(monkeypatch, kill_at=2)
    with pytest.raises(KeyboardInterrupt):
        sample.main("part-2")
    assert not second.exists()
    sample.main("part-2")
    assert sampled == [4, 6, 6, 8]
    assert second.read_bytes() == whole
    behave.main("own")
    assert record.content_hash(paths.behaviour("own")) == record.content_hash(undisturbed)


def asked_for(monkeypatch, kill_at: int | None = None) -> list[int]:
    """The first places of the batches that are sampled from now on; at one of them, if it is said, the stage ends."""
    found, own = [], Static.sample

    def counted(engine, *arguments, first=0, **options):
        found.append(first)
        if len(found) == kill_at:
            raise KeyboardInterrupt
        return own(engine, *arguments, first=first, **options)

    monkeypatch.setattr(Static, "sample", counted)
    return found


def test_what_was_sampled_is_not_lost_where_no_response_is_right(small_study, monkeypatch):
    sampled = asked_for(monkeypatch)
    write_params({"behave.own": POLICY.model_copy(update={"keep_correct_only": True}).model_dump()})
    with pytest.raises(UserError, match="gave no right response"):
        behave.main("own")
    write_params({"behave.own": POLICY.model_dump()})
    behave.main("own")
    assert sampled == [0, 2, 4, 6, 8]


@pytest.mark.parametrize("change", ["seed", "model", "prompts"])
def test_what_was_sampled_otherwise_is_not_gone_on_from(small_study, monkeypatch, change, capfd):
    asked_for(monkeypatch, kill_at=3)
    write_params({"behave.own": POLICY.model_dump()})
    with pytest.raises(KeyboardInterrupt):
        behave.main("own")
    sampled, policy = asked_for(monkeypatch), POLICY
    if change == "seed":
        policy = POLICY.model_copy(update={"sampling": ASKED.model_copy(update={"seed": 4})})
    elif change == "model":
        save_base(random_llama(seed=9), paths.model(small.MODEL))
    else:
        jsonl.write(small.ITEMS, jsonl.read(small.ITEMS)[::-1])
    write_params({"behave.own": policy.model_dump()})
    behave.main("own")
    assert sampled == [0, 2, 4, 6, 8]
    assert "starts anew" in capfd.readouterr().out


# The graph


def study_of(**changes) -> Study:
    student = POLICY.model_copy(update={"model": "base-tiny-1", "prompts": "data/prompts/sft.jsonl"})
    return Study.model_validate(edited({"behave.student": student.model_copy(update=changes).model_dump()}, WHOLE))


def test_one_shard_is_no_stage_of_its_own():
    found = runs.expand(study_of())
    assert found["sample"] == {}
    assert found["behave"]["student"].weights == "results/models/base-tiny-1/record.json"


def test_several_shards_are_stages_that_the_policys_waits_for():
    found = runs.expand(study_of(shards=3))
    assert list(found["sample"]) == [f"behave-student-{number}" for number in (1, 2, 3)]
    assert found["behave"]["student"].weights == "data/samples/behave/student"
    assert {run.weights for run in found["sample"].values()} == {"results/models/base-tiny-1/record.json"}


def test_what_is_kept_of_the_responses_is_no_setting_of_a_shard():
    plain = runs.expand(study_of(shards=3))["sample"]
    cut = POLICY.sampling.model_copy(update={"keep_cut": False})
    changed = study_of(shards=3, keep_correct_only=True, keep_policy=False, sampling=cut)
    assert runs.expand(changed)["sample"] == plain


def test_an_authors_shards_are_of_each_model_that_it_answers_for():
    tree = edited({"recover.responses.self.shards": 2})
    found = runs.expand(Study.model_validate(tree))
    answers = {name for name, run in found["respond"].items() if run.author == "self"}
    assert {run.of for run in found["sample"].values()} == answers
    assert len(found["sample"]) == 2 * len(answers) > 0
    assert {run.prompts for run in found["sample"].values()} == {DEFAULT["recover"]["prompts"]}


def test_params_hold_what_a_shard_reads(small_study):
    policy = POLICY.model_copy(update={"shards": 2})
    run_shards([policy.shard("own", 1, 2)], {"behave.own": policy})
    read = yamls.read(paths.PARAMS)["runs"]["sample"]["part-1"]
    assert SampleRun.model_validate(read) == policy.shard("own", 1, 2)
