"""Bad configs: one message that says what was found, the rule, why and the fix."""

import math
from pathlib import Path

import pytest

from orchard import yamls
from orchard.__main__ import main
from tests.helpers.messages import assert_one_message
from tests.helpers.studies import DEFAULT, GONE, edited

TWO_FORMS = {"report.pear.forms": ["pear-token", "last-tokens"], "report.pear.controls": {}}
NO_CONTROLS = {"report.pear.controls": {}, "report.pear.plain": []}  # so that nll may be any objective
AGAIN = {
    "sft.objectives.nll-again": DEFAULT["sft"]["objectives"]["nll"],
    "sft.arms.nll-again": DEFAULT["sft"]["arms"]["nll"] | {"objective": "nll-again"},
}
GAME = {"role": "eval", "seed": 1, "items": 20, "game": "chain_sum", "options": {}}
SELECTION = {
    "batch_size": 8,
    "racing": None,
    "tasks": {
        "answers": {
            "kind": "likelihood",
            "items": "data/calibration/held-in.jsonl",
        }
    },
}
ADAPTER = {"rank": 8, "alpha": 16.0}
LOADED = {"kind": "local", "source": ".", "license": "mit", "model": {"layers": 8}}
POLICY = {
    "kind": "model",
    "model": "sft-nll-1",
    "prompts": "data/prompts/sft.jsonl",
    "sampling": {"seed": 1, "temperature": 1.0, "max_new_tokens": 8, "batch_size": 4},
}
STARTS = DEFAULT["prune"]["of"]
OTHER_ENGINE = POLICY | {"sampling": POLICY["sampling"] | {"engine": "continuous"}}
BAD_CONFIGS = {
    "an artifact that nothing makes": (
        {"artifacts.rl": "rl-grpo-nll-9"},
        ["artifacts.rl: 'rl-grpo-nll-9'", "did you mean 'rl-grpo-nll-"],
    ),
    "an unknown arithmetic": ({"arithmetic": "exact"}, ["arithmetic: 'exact'", "'portable' or 'fast'"]),
    "16 bits that are to be the same everywhere": (
        {"loading.dtype": "bfloat16"},
        ["arithmetic: portable, loading.dtype: bfloat16", "set arithmetic: fast"],
    ),
    "another engine whose sums are to be the same everywhere": (
        {"evaluate.engine": "vllm"},
        ["arithmetic: portable, evaluate.engine: vllm", "set arithmetic: fast"],
    ),
    "another engine of a policy": (
        {"behave.own": OTHER_ENGINE},
        ["arithmetic: portable, behave.own.sampling.engine: continuous", "set arithmetic: fast"],
    ),
    "an engine that is not there": ({"evaluate.engine": "hf"}, ["evaluate.engine: 'hf'", "'static', 'continuous' or"]),
    "likely tokens that continuous batching does not tell": (
        {"behave.own": {**OTHER_ENGINE, "top_k": 5}, "arithmetic": "fast"},
        ["top_k 5, sampling.engine continuous", "sampling.engine: static or vllm"],
    ),
    "FlashAttention in 32 bits": (
        {"loading.attention": "flash_attention_2"},
        ["loading: attention flash_attention_2, dtype float32", "16 bits"],
    ),
    "a type of numbers that is not there": ({"loading.dtype": "float16"}, ["loading.dtype: 'float16'", "'bfloat16'"]),
    "a policy that is an adapter": (
        {"sft.trainer.lora": {"rank": 2, "alpha": 4.0}, "behave.own": POLICY},
        ["behave.own.model: sft-nll-1, an adapter of base-tiny-1", "set lora: null where sft-nll-1 is trained"],
    ),
    "an unknown way to share work": ({"parallel": "fdsp"}, ["parallel: 'fdsp'", "'data' or 'fsdp'"]),
    "text for a number": ({"base.tiny.steps": "1000"}, ["base.tiny.steps: '1000'", "without quotes"]),
    "a number in quotes": ({"rl.recipes.grpo.learning_rate": "1e-3"}, ["'1e-3'", "without quotes"]),
    "a fraction for an integer": ({"rl.recipes.grpo.steps": 2.5}, ["rl.recipes.grpo.steps: 2.5", "integer"]),
    "true for an integer": ({"base.tiny.threads": True}, ["base.tiny.threads: True"]),
    "layers that nobody could count": (
        {"base.tiny.model.layers": 10**9},
        ["base.tiny.model.layers: 1000000000", "at most 1,000", "deepest published"],
    ),
    "a width that no machine holds": ({"base.tiny.model.hidden_size": 2**40}, ["at most 262,144"]),
    "a text longer than any": ({"base.tiny.model.positions": 10**12}, ["at most 10,000,000"]),
    "threads without number": ({"base.tiny.threads": 10**6}, ["base.tiny.threads", "at most 1,024"]),
    "items without number": ({"data.generate.calc.items": 10**12}, ["data.generate.calc.items", "in memory"]),
    "samples without number": ({"evaluate.tasks.calc.samples": 10**9}, ["at most 10,000"]),
    "responses without end": ({"evaluate.tasks.calc.max_new_tokens": 10**12}, ["at most 10,000,000"]),
    "steps for ages": ({"rl.recipes.grpo.steps": 10**15}, ["rl.recipes.grpo.steps", "years"]),
    "an adapter without end": (
        {"recover.trainer.lora": {"rank": 10**9, "alpha": 1.0}},
        ["recover.trainer.lora.rank", "at most"],
    ),
    "examples without end": (
        {"evaluate.tasks.calc.few_shot": {"count": 10**9, "items": "data/prompts/sft.jsonl"}},
        ["few_shot.count", "one prompt"],
    ),
    "a license of several lines": (
        {"base.tiny.license": "mit\nlibrary_name: other\n---\n<b>"},
        ["base.tiny.license", "model cards"],
    ),
    "a license that YAML reads as false": ({"base.tiny.license": "no"}, ["base.tiny.license: 'no'"]),
    "a source of several lines": ({"base.tiny.source": "data/a\n---\n# b"}, ["base.tiny.source", "one line"]),
    "an option of pip for a package": (
        {"data.fetch.w": {"kind": "wheel", "package": "--log==x", "sha256": "0" * 64, "member": "m"}},
        ["data.fetch.w.package: '--log==x'", "option of pip"],
    ),
    "a folder for a repository": (
        {"data.fetch.h": {"kind": "hub-dataset", "repo": "/root/.ssh", "revision": "0" * 40, "split": "train"}},
        ["data.fetch.h.repo: '/root/.ssh'", "owner/name"],
    ),
    "a number for a mapping": ({"base.tiny.model": 8}, ["base.tiny.model: 8", "dictionary"]),
    "a mapping for a list": ({"sft.seeds": {"nll": 1}}, ["sft.seeds: {'nll': 1}", "list"]),
    "infinity": ({"rl.recipes.grpo.learning_rate": math.inf}, ["rl.recipes.grpo.learning_rate: inf"]),
    "out of range": ({"report.confidence": 1.5}, ["report.confidence: 1.5", "less than 1"]),
    "a misspelt key": (
        {"rl.recipes.grpo.temperature": GONE, "rl.recipes.grpo.temprature": 1.0},
        ["rl.recipes.grpo.temprature is not a key", "did you mean 'temperature'?"],
    ),
    "a missing key": ({"rl.recipes.grpo.steps": GONE}, ["rl.recipes.grpo.steps is missing", "without a default"]),
    "a missing part": ({"evaluate": GONE}, ["evaluate is missing"]),
    "samples of a choice task": ({"evaluate.tasks.fact.samples": 8}, ["evaluate.tasks.fact.samples is not a key"]),
    "noise of a set of prompts": ({"data.generate.sft.noise": 0.1}, ["data.generate.sft.noise is not a key"]),
    "a template that is not there": (
        {"base.other": LOADED | {"format": {"template": "chat.jinja"}}},
        ["base.other.format.template: 'chat.jinja'", "the file exists"],
    ),
    "a template among a stage's outputs": (
        {"base.other": LOADED | {"format": {"template": "data/eval/calc.jsonl"}}},
        ["base.other.format.template: 'data/eval/calc.jsonl'", "outside data/ and results/"],
    ),
    "a system prompt without a template": (
        {"base.other": LOADED | {"format": {"system": "Be brief.", "thinking": False}}},
        ["base.other.format: system, thinking without a template", "set template: own"],
    ),
    "a format of a model that is pretrained here": (
        {"base.tiny.format": {"template": "own"}},
        ["base.tiny.format is not a key"],
    ),
    "an unknown kind": ({"base.tiny.kind": "hup"}, ["base.tiny.kind: 'hup'", "'pretrain', 'local', 'hub', 'gguf'"]),
    "an unknown loss": ({"sft.objectives.nll.loss": "pear"}, ["sft.objectives.nll.loss: 'pear'", "'kl-stored'"]),
    "an unknown method": (
        {"prune.methods": ["reverse", "gredy"], "recover.methods": ["reverse"]},
        ["prune.methods[1]: 'gredy'", "block-influence"],
    ),
    "a search without items to select on": (
        {"prune.methods": ["greedy", "block-influence"]},
        ["prune.selection: null", "remove greedy"],
    ),
    "a search that leaves nothing to choose": (
        {"prune.methods": ["greedy"], "prune.ratios": [7], "prune.selection": SELECTION, "recover.of": []},
        ["7 of 8 layers is 7 layers", "leaves two layers at least"],
    ),
    "selection on evaluation items": (
        {"prune.methods": ["greedy", "block-influence"], "prune.selection": SELECTION}
        | {"prune.selection.tasks.answers.items": "data/eval/calc.jsonl"},
        ["prune.selection.tasks.answers.items: 'data/eval/calc.jsonl'", "calibration"],
    ),
    "selection items that DVC would not watch": (
        {"prune.methods": ["greedy", "block-influence"], "prune.selection": SELECTION}
        | {"prune.selection.tasks.answers.items": "config.yaml"},
        ["prune.selection.tasks.answers.items: 'config.yaml'", "DVC watches data/calibration/"],
    ),
    "recovery prompts of a role that nobody has": (
        {"recover.prompts": "data/recovery"},
        ["recover.prompts: 'data/recovery'"],
    ),
    "examples that are items of the selection": (
        {"prune.methods": ["greedy", "block-influence"], "prune.selection": SELECTION}
        | {"prune.selection.tasks.answers.few_shot": {"count": 1, "items": "data/calibration/held-in.jsonl"}},
        ["prune.selection.tasks.answers.few_shot.items", "shown the answers"],
    ),
    "single layers of a model that is not there": ({"prune.skip": ["base-tin"]}, ["prune.skip: 'base-tin'"]),
    "a mixture of one author": (
        {"recover.responses.both": {"kind": "mixed", "of": ["open", "open"], "seed": 1}},
        ["recover.responses.both.of: open, open", "two different authors"],
    ),
    "a mixture of an unknown author": (
        {"recover.responses.both": {"kind": "mixed", "of": ["open", "sel"], "seed": 1}},
        ["recover.responses.both.of: 'sel'", "'self'?"],
    ),
    "a budget of nobody": ({"recover.budgets.steps.of": []}, ["recover.budgets.steps.of: []", "at least 1 item"]),
    "an author twice": ({"recover.budgets.steps.of": ["open", "open"]}, ["recover.budgets.steps.of: 'open' 2 times"]),
    "two recoveries of one name": (
        {
            "recover.responses.open-a": {"kind": "given"},
            "recover.budgets.a-steps": {"of": ["open"], "amount": {"kind": "equal-steps"}},
            "recover.budgets.steps.of": ["open-a"],
        },
        ["open-a-steps is the name of two recoveries"],
    ),
    "a budget of an unknown kind": (
        {"recover.budgets.steps.amount.kind": "time"},
        ["recover.budgets.steps.amount.kind: 'time'"],
    ),
    "four bits without adapters": ({"recover.trainer.four_bit": True}, ["four_bit true, lora null"]),
    "a random method without a seed": (
        {"prune.methods": ["random"], "recover.of": []},
        ["prune.methods[0]: 'random'", "random-[1-9]"],
    ),
    "an author without kind": (
        {"recover.responses.teacher": {"style": "D"}},
        ["recover.responses.teacher.kind: 'missing'", "'style', 'given', 'model', 'mixed'"],
    ),
    "an author without settings": (
        {"recover.budgets.steps.of": ["open", "teacher"]},
        ["recover.budgets.steps.of: 'teacher'", "add recover.responses.teacher"],
    ),
    "a name with a space": ({"name": "My Study"}, ["name: 'My Study'", "'my-study'"]),
    "a name that is a number": ({"report.generation": [1]}, ["report.generation[0]: 1", "string"]),
    "no seeds": ({"base.tiny.seeds": []}, ["base.tiny.seeds", "at least 1"]),
    "seeds in two places": (
        {"sft.seeds": [1]},
        ["sft.seeds: [1], while no arm has a loaded base", "base.<name>.seeds"],
    ),
    "a loaded base without seeds of SFT": (
        {"base.other": LOADED, "sft.arms.nll.base": "base-other"},
        ["sft.seeds: [], while the base of arm 'nll' is loaded"],
    ),
    "one name for two bases": (
        {"base.tiny-1": LOADED},
        ["base-tiny-1: of base.tiny and of base.tiny-1", "rename one"],
    ),
    "an arm with the name of a replicate": (
        {
            "sft.arms.nll-1": {"objective": "none", "base": "base-tiny", "data": "teacher"},
            "rl.arms.grpo": ["pear-token"],
        },
        ["sft-nll-1: of sft.arms.nll and of sft.arms.nll-1"],
    ),
    "an objective twice on one base": (
        {"sft.arms.again": {"objective": "nll", "base": "base-tiny", "data": "teacher", "draw": 1}},
        ["sft.arms: 'nll' and 'again' are both of 'nll'"],
    ),
    "a policy that is many models": ({"behave.teacher.model": "base-tiny"}, ["behave.teacher.model: 'base-tiny'"]),
    "an artifact that is many models": ({"artifacts.rl": "rl-grpo-nll"}, ["artifacts.rl: 'rl-grpo-nll'"]),
    "no base": ({"base": {}}, ["base: {}", "at least 1"]),
    "a seed twice": ({"base.tiny.seeds": [1, 1], "prune.skip": []}, ["base.tiny.seeds: 1 2 times"]),
    "an arm without objective": (
        {"sft.arms.extra": {"objective": "pear-block", "base": "base-tiny", "data": "teacher"}},
        ["sft.arms.extra.objective: 'pear-block'", "did you mean"],
    ),
    "data of no policy": ({"sft.arms.nll.data": "techer"}, ["sft.arms.nll.data: 'techer'", "'teacher'?"]),
    "a base that is not there": ({"sft.arms.nll.base": "base-big"}, ["sft.arms.nll.base: 'base-big'"]),
    "a recipe from no arm": (
        {"rl.arms": {}, "prune.of": ["base-tiny"], "recover.of": []},
        ["rl.recipes.grpo, without rl.arms.grpo"],
    ),
    "a recipe from an arm that is not there": ({"rl.arms.grpo": ["pear-token", "nl"]}, ["rl.arms.grpo: 'nl'"]),
    "a batch that does not divide": ({"sft.trainer.accumulation": 5}, ["sft.trainer: batch_size 32, accumulation 5"]),
    "weights that are not there": (
        {"sft.objectives.pear-token.weights.form": "word"},
        ["'sequence', 'block' or 'token'"],
    ),
    "a block form without block": (
        {"sft.objectives.pear-token.weights.form": "block"},
        ["sft.objectives.pear-token.weights: form block, block None"],
    ),
    "distillation without stored tokens": (
        {"sft.objectives.nll.loss": "kl-stored", "behave.teacher.top_k": 0} | NO_CONTROLS,
        ["sft.arms.nll: loss kl-stored", "top_k"],
    ),
    "a style that the policy does not write": (
        {"sft.objectives.nll.select": {"kind": "style", "styles": ["A"]}} | NO_CONTROLS,
        ["sft.arms.nll: select style A", "writes H, D"],
    ),
    "a policy that learns from itself": (
        {"behave.teacher.model": "sft-nll-1"},
        ["behave.teacher.model: 'sft-nll-1'", "before it is trained"],
    ),
    "a model that no stage makes": (
        {"prune.of": ["base-tiny", "rl-grpo-nll-9"], "recover.of": ["base-tiny"]},
        ["prune.of: 'rl-grpo-nll-9'"],
    ),
    "recovery without pruning": (
        {"prune.of": ["base-tiny"], "recover.of": ["base-tiny", "rl-grpo-nll-1"]},
        ["recover.of: 'rl-grpo-nll-1'"],
    ),
    "recovery at another ratio": ({"recover.ratios": [0.75]}, ["recover.ratios: 0.75", "0.25, 0.375"]),
    "recovery at a ratio of another model": (
        {
            "prune.of": [STARTS[0], "base-tiny-1"],
            "prune.ratios": {STARTS[0]: [0.25], "base-tiny-1": [0.25, 3]},
            "recover.of": [STARTS[0]],
            "recover.ratios": {STARTS[0]: [3]},
        },
        ["recover.ratios: 3, while prune.ratios has 0.25"],
    ),
    "ratios by model that lack one": (
        {"prune.of": [STARTS[0], "base-tiny-1"], "prune.ratios": {STARTS[0]: [0.125, 0.25, 0.5]}},
        ["prune.ratios has none for 'base-tiny-1'", "add prune.ratios.base-tiny-1"],
    ),
    "ratios of a model that is not pruned": (
        {"prune.ratios": {STARTS[0]: [0.125, 0.25, 0.5], "base-tiny-1": [2]}},
        ["prune.ratios.base-tiny-1, which is not in prune.of", STARTS[0]],
    ),
    "a ratio of one model that does not divide": (
        {"prune.of": ["base-tiny-1"], "prune.ratios": {"base-tiny-1": [0.3]}, "recover.of": []},
        ["prune.ratios: 0.3 of 8 layers", "for example 0.25"],
    ),
    "text among the ratios of a model": (
        {"prune.of": ["base-tiny-1"], "prune.ratios": {"base-tiny-1": ["0.25"]}, "recover.of": []},
        ["prune.ratios.base-tiny-1[0]: '0.25'", "without quotes"],
    ),
    "more shards of a policy than batches": (
        {
            "behave.own": POLICY
            | {"model": "base-tiny-1", "shards": 8, "sampling": POLICY["sampling"] | {"batch_size": 1000}}
        },
        ["behave.own.shards: 8, while data/prompts/sft.jsonl has", "set shards to"],
    ),
    "more shards of an author than batches": (
        {"recover.responses.self.shards": 500},
        ["recover.responses.self.shards: 500, while data/", "lower batch_size"],
    ),
    "no shard": (
        {"recover.responses.self.shards": 0},
        ["recover.responses.self.shards: 0", "greater than or equal to 1"],
    ),
    "shards of responses that no model writes": (
        {"behave.teacher.shards": 2},
        ["behave.teacher.shards is not a key of this place"],
    ),
    "a ratio that leaves no layer": (
        {"base.tiny.model.layers": 1, "prune.ratios": [0.9999999], "recover.of": []},
        ["leaves one"],
    ),
    "all layers": ({"prune.ratios": [1.0], "recover.of": []}, ["prune.ratios[0]: 1.0", "less than 1"]),
    "as many layers as there are": ({"prune.ratios": [8], "recover.of": []}, ["8 of 8 layers", "below 8"]),
    "no layers": ({"prune.ratios": [0], "recover.of": []}, ["prune.ratios[0]: 0", "greater than or equal to 1"]),
    "less than no layers": ({"prune.ratios": [-1], "recover.of": []}, ["prune.ratios[0]: -1"]),
    "true for a ratio": ({"prune.ratios": [True], "recover.of": []}, ["prune.ratios[0]: True", "integer"]),
    "text for a ratio": ({"prune.ratios": ["0.25"], "recover.of": []}, ["'0.25'", "without quotes"]),
    "a share and a count that are the same layers": (
        {"prune.ratios": [0.25, 2], "recover.of": []},
        ["prune.ratios: 0.25 and 2 of 8 layers are both 2 layers"],
    ),
    "a ratio that does not divide": (
        {"prune.ratios": [0.3], "recover.of": []},
        ["0.3 of 8 layers", "for example 0.25"],
    ),
    "shares that do not sum to 1": (
        {"behave.teacher.styles": {"H": 0.5, "D": 0.4}},
        ["behave.teacher.styles", "sum to 0.9"],
    ),
    "a share of 0": (
        {"data.generate.calc.mix": {"calc": 1.0, "fact": 0.0}},
        ["data.generate.calc.mix.fact: 0.0", "greater than 0"],
    ),
    "an unknown task": ({"data.generate.calc.mix": {"calk": 1.0}}, ["'calk'", "did you mean 'calc'?"]),
    "an unknown style": (
        {"recover.responses.open.style": "E"},
        ["recover.responses.open.style: 'E'", "A, B, C, D, L, H"],
    ),
    "an unknown game": (
        {"data.generate.calc": GAME | {"game": "chain_sums"}},
        ["data.generate.calc.game: 'chain_sums'", "did you mean 'chain_sum'?"],
    ),
    "a game whose scorer runs what the model wrote": (
        {"data.generate.calc": GAME | {"game": "countdown"}},
        ["data.generate.calc.game: 'countdown'", "runs the response as Python code"],
    ),
    "an option that the game does not know": (
        {"data.generate.calc": GAME | {"options": {"max_term": 3}}},
        ["data.generate.calc.options.max_term is no option of chain_sum", "did you mean 'max_terms'?"],
    ),
    "a seed among the options": (
        {"data.generate.calc": GAME | {"options": {"seed": 3}}},
        ["options.seed", "no option"],
    ),
    "an option that the game refuses": (
        {"data.generate.calc": GAME | {"options": {"min_terms": 5, "max_terms": 3}}},
        ["data.generate.calc.options: ", "max_terms must be >= min_terms"],
    ),
    "a game without a seed": (
        {"data.generate.calc": {key: GAME[key] for key in GAME if key != "seed"}},
        ["data.generate.calc.seed is missing"],
    ),
    "a game with a mix": ({"data.generate.calc": GAME | {"mix": {"calc": 1.0}}}, ["calc.mix is not a key"]),
    "credit that is neither": ({"rl.recipes.grpo.partial_credit": 0.5}, ["partial_credit: 0.5", "boolean"]),
    "steps that go down": ({"data.generate.rl.steps": [6, 3]}, ["data.generate.rl.steps: [6, 3]", "[3, 6]"]),
    "heads that do not divide": ({"base.tiny.model.heads": 5}, ["hidden_size 64, heads 5", "60"]),
    "heads of odd size": ({"base.tiny.model.hidden_size": 36}, ["hidden_size 36, heads 4", "pairs"]),
    "a set that nothing makes": (
        {"rl.recipes.grpo.prompts": "data/prompts/rll.jsonl"},
        ["rl.recipes.grpo.prompts", "did you mean 'data/prompts/rl.jsonl'?"],
    ),
    "a set of another role": (
        {"data.generate.rl.role": "calibration"},
        ["rl.recipes.grpo.prompts: 'data/prompts/rl.jsonl'"],
    ),
    "training on evaluation items": (
        {"rl.recipes.grpo.prompts": "data/eval/calc.jsonl"},
        ["rl.recipes.grpo.prompts: 'data/eval/calc.jsonl'", "only evaluation sees its items"],
    ),
    "evaluation on training prompts": (
        {"evaluate.tasks.calc.items": "data/prompts/rl.jsonl"},
        ["evaluate.tasks.calc.items", "role eval"],
    ),
    "a file that is not there": (
        {"rl.recipes.grpo.prompts": "nowhere/rl.jsonl"},
        ["'nowhere/rl.jsonl'", "the file exists"],
    ),
    "a file that is not there, with where it can be had": (
        {"data.ingest": {"far": {"role": "eval", "path": "far.jsonl", "format": "gsm8k", "origin": "its authors"}}},
        ["data.ingest.far.path: 'far.jsonl'", "the file exists", "get it from its authors"],
    ),
    "a device": ({"rl.recipes.grpo.prompts": "/dev/zero"}, ["'/dev/zero'", "is a device", "never end"]),
    "what the kernel makes up": (
        {"rl.recipes.grpo.prompts": "/proc/self/environ"},
        ["is a device, a pipe or the like"],
    ),
    "a path without end": ({"rl.recipes.grpo.prompts": "a" * 5000}, ["the file exists"]),
    "a path with control signs": ({"rl.recipes.grpo.prompts": "a\x1b[2J"}, ["'a\\x1b[2J'", "the file exists"]),
    "an output by its path": (
        {"base.tiny.source": "results/models/base-tiny"},
        ["base.tiny.source", "outside results/"],
    ),
    "a path the long way": ({"base.tiny.source": "data/./pretrain/mix.jsonl"}, ["write data/pretrain/mix.jsonl"]),
    "something that is not fetched": ({"base.tiny.source": "data/fetched/text"}, ["data.fetch.<name>"]),
    "two sets in one file": (
        {
            "data.ingest": {"calc": {"role": "eval", "path": ".", "format": "jsonl"}},
        },
        ["data.generate.calc and data.ingest.calc", "the same file"],
    ),
    "a revision that can move": (
        {"data.fetch": {"model": {"kind": "hub-model", "repo": "a/b", "revision": "main"}}},
        ["data.fetch.model.revision: 'main'"],
    ),
    "several greedy samples": ({"evaluate.tasks.calc.temperature": 0.0}, ["8 samples at temperature 0"]),
    "a k beyond the samples": ({"evaluate.tasks.calc.k": [1, 16]}, ["evaluate.tasks.calc.k: 16, of 8 samples"]),
    "a k of a summary": (
        {"evaluate.tasks.calc.kind": "summary", "evaluate.tasks.calc.k": [1]},
        ["evaluate.tasks.calc.k: [1], of kind summary"],
    ),
    "a cut of the distribution that greedy decoding ignores": (
        {"evaluate.tasks.calc.temperature": 0.0, "evaluate.tasks.calc.samples": 1, "evaluate.tasks.calc.top_k": 50},
        ["evaluate.tasks.calc.top_k: 50 at temperature 0"],
    ),
    "a share of more than all": ({"evaluate.limit": 1.5}, ["evaluate.limit: 1.5"]),
    "no item": ({"evaluate.tasks.calc.limit": 0}, ["evaluate.tasks.calc.limit: 0"]),
    "a task in no suite": (
        {
            "evaluate.suites": {
                "all": {"of": ["all"], "tasks": ["calc", "cmp", "step", "brackets", "fact-written", "cmp-written"]}
            }
        },
        ["evaluate.tasks.fact, which is in no suite"],
    ),
    "a suite of a task that is not there": (
        {"evaluate.suites": {"all": {"of": ["all"], "tasks": [*DEFAULT["evaluate"]["tasks"], "clac"]}}},
        ["evaluate.suites.all.tasks: 'clac'", "did you mean 'calc'"],
    ),
    "a suite of more samples than the task has": (
        {"evaluate.suites": {"all": {"of": ["all"], "tasks": [*DEFAULT["evaluate"]["tasks"]], "samples": {"calc": 9}}}},
        ["evaluate.suites.all.samples.calc: 9, where evaluate.tasks.calc has 8"],
    ),
    "samples of a choice in a suite": (
        {"evaluate.suites": {"all": {"of": ["all"], "tasks": [*DEFAULT["evaluate"]["tasks"]], "samples": {"fact": 2}}}},
        ["evaluate.suites.all.samples.fact: 2, where evaluate.tasks.fact has none"],
    ),
    "a task of lm-eval without data": (
        {"evaluate.tasks.arc": {"kind": "lm-eval", "task": "arc_easy"}},
        ["evaluate.tasks.arc.data: None", "data.fetch.<name>: {kind: lm-eval-data, task: arc_easy}"],
    ),
    "a task of lm-eval with other data": (
        {
            "data.fetch": {"arc": {"kind": "lm-eval-data", "task": "arc_easy"}},
            "evaluate.tasks.arc": {"kind": "lm-eval", "task": "arc_easy", "data": "data/eval/acr"},
        },
        ["evaluate.tasks.arc.data: 'data/eval/acr'", "did you mean 'data/eval/arc'"],
    ),
    "a score of a task that has one": ({"report.scores": {"calc": "pass@8"}}, ["report.scores.calc", "remove it"]),
    "layers chosen on lm-eval's items": (
        {
            "prune.methods": ["block-influence", "greedy"],
            "prune.selection": SELECTION | {"tasks": {"arc": {"kind": "lm-eval", "task": "arc_easy"}}},
        },
        [
            "prune.selection.tasks.arc: kind lm-eval, arc_easy",
            "the items that models are evaluated on",
            "training split",
        ],
    ),
    "examples from nowhere": ({"evaluate.tasks.calc.few_shot.count": 3}, ["count 3, items None"]),
    "examples that are the items": (
        {"evaluate.tasks.calc.few_shot": {"count": 3, "items": "data/eval/calc.jsonl"}},
        ["shown the answers"],
    ),
    "a warm-up that is ignored": ({"recover.trainer.schedule": "constant"}, ["warmup_steps 5", "constant_with_warmup"]),
    "a loss without a rate": (
        {"sft.objectives.nll.learning_rate": 0.0} | NO_CONTROLS,
        ["sft.objectives.nll.learning_rate"],
    ),
    "choice as generation": ({"report.generation": ["calc", "fact"]}, ["report.generation: 'fact'", "kind choice"]),
    "no such task in the report": (
        {"report.classification": ["fact", "cpm"]},
        ["report.classification: 'cpm'", "did you mean 'cmp'?"],
    ),
    "a probe that is written": ({"report.pruning.probe": "calc"}, ["report.pruning.probe: 'calc', of kind generation"]),
    "brackets that are chosen": (
        {"report.pruning.brackets": "fact"},
        ["report.pruning.brackets: 'fact', of kind choice"],
    ),
    "a matched pair the wrong way round": (
        {"report.pruning.matched": [{"choice": "fact", "generation": "cmp"}]},
        ["report.pruning.matched[0].generation: 'cmp', of kind choice"],
    ),
    "a matched pair of other items": (
        {"report.pruning.matched": [{"choice": "fact", "generation": "cmp-written"}]},
        ["report.pruning.matched: 'fact' and 'cmp-written' differ in items, few_shot or limit"],
    ),
    "a matched pair twice": (
        {"report.pruning.matched": [{"choice": "fact", "generation": "fact-written"}] * 2},
        ["report.pruning.matched: 'fact' 2 times"],
    ),
    "an arm against itself": ({"report.pear.treatment": "nll"}, ["baseline and treatment are both 'nll'"]),
    "an arm that does not run": ({"report.pear.baseline": "dft"}, ["report.pear.baseline: 'dft'"]),
    "a control that does not run": ({"report.pear.controls.scale": "dft"}, ["report.pear.controls.scale: 'dft'"]),
    "a control that is the treatment": (
        {"report.pear.controls.others": ["pear-token"]},
        ["treatment and controls.others are both"],
    ),
    "a control twice": (
        AGAIN | {"report.pear.controls.others": ["nll-again", "nll-again"]},
        ["report.pear.controls.others: 'nll-again' 2 times"],
    ),
    "a control of the scale at another rate": (
        {"sft.objectives.nll.learning_rate": 2e-3},
        ["report.pear.controls.scale: 'nll'", "at learning_rate 0.001"],
    ),
    "a control of the last tokens that is none": (
        {"report.pear.controls.last_tokens": "nll"},
        ["report.pear.controls.last_tokens: 'nll'", "weights of kind last-tokens"],
    ),
    "plain SFT at one rate twice": (
        AGAIN | {"report.pear.plain": ["nll", "nll-again"]},
        ["report.pear.plain: 'nll' and 'nll-again' have one learning rate"],
    ),
    "plain SFT that is not plain": (
        {"report.pear.plain": ["nll", "last-tokens"]},
        ["report.pear.plain: 'last-tokens', which is not plain SFT"],
    ),
    "a probe in a style that nobody writes": (
        {"data.generate.step.style": "A"},
        ["data.generate.step.style: A, of report.pruning.probe", "writes H, D", "name one that the models write: D"],
    ),
    "a probe in no style": ({"data.generate.step.style": GONE}, ["data.generate.step.style: null", "A, D, L"]),
    "layers chosen on bare answers": (
        {"data.generate.held-in.style": GONE},
        ["data.generate.held-in.style: null", "bare answer", "name one that the models write: D"],
    ),
    "layers chosen on text that nobody writes": (
        {"data.generate.held-in.style": "C"},
        ["data.generate.held-in.style: C, of prune.calibration", "writes H, D"],
    ),
    "moments that never fade": (
        {"rl.recipes.grpo.optimizer": {"betas": [0.9, 1.0]}},
        ["rl.recipes.grpo.optimizer.betas"],
    ),
    "twins that differ": (
        {"report.pear.twins": {"one": "nll", "other": "last-tokens"}},
        ["report.pear.twins: 'nll' and 'last-tokens', which differ", "the same settings"],
    ),
    "twins of one name": (
        {"report.pear.twins": {"one": "nll", "other": "nll"}},
        ["report.pear.twins: 'nll' and 'nll', one name"],
    ),
    "twins with one draw": (
        AGAIN | {"report.pear.twins": {"one": "nll", "other": "nll-again"}},
        ["report.pear.twins: 'nll' and 'nll-again' both have draw 0", "set draw: 1 in the arm of 'nll-again'"],
    ),
    "a form that is not PEAR's": (
        {"report.pear.forms": ["last-tokens"]},
        ["report.pear.forms: 'last-tokens'", "controls"],
    ),
    "one form by two names": (
        {"sft.objectives.last-tokens": DEFAULT["sft"]["objectives"]["pear-token"]} | TWO_FORMS,
        ["'pear-token' and 'last-tokens' are both of form token"],
    ),
    "a form that learns from other data": (
        {
            "behave.other": DEFAULT["behave"]["teacher"],
            "sft.arms.last-tokens.data": "other",
            "sft.objectives.last-tokens.weights": DEFAULT["sft"]["objectives"]["pear-token"]["weights"]
            | {"form": "sequence"},
            "report.pear.reversal": [],
            "report.pear.plain": [],
        }
        | TWO_FORMS,
        ["report.pear.forms: 'last-tokens'", "on that data"],
    ),
    "distillation against itself": (
        {"report.pear.distillation": {"baseline": "nll", "treatment": "nll"}},
        ["distillation.baseline and distillation.treatment are both 'nll'"],
    ),
    "transfer to a task that is not written": (
        {
            "rl.recipes.other": DEFAULT["rl"]["recipes"]["grpo"],
            "rl.arms.other": "all",
            "report.pear.transfer": {"recipe": "other", "task": "fact"},
        },
        ["report.pear.transfer.task: 'fact', of kind choice"],
    ),
    "transfer by no recipe": (
        {"report.pear.transfer": {"recipe": "elsewhere", "task": "calc"}},
        ["report.pear.transfer.recipe: 'elsewhere'"],
    ),
    "games by no recipe": (
        {"report.pear.games": {"recipe": "elsewhere", "task": "calc"}},
        ["report.pear.games.recipe: 'elsewhere'"],
    ),
    "games that are not written": (
        {"report.pear.games": {"recipe": "grpo", "task": "fact"}},
        ["report.pear.games.task: 'fact', of kind choice"],
    ),
    "transfer that stays": (
        {"report.pear.transfer": {"recipe": "grpo", "task": "calc"}},
        ["recipe and transfer.recipe are both 'grpo'"],
    ),
    "parts of a step that are not equal": (
        {"rl.recipes.grpo.accumulation": 7},
        ["rl.recipes.grpo: prompts_per_step 24 × samples_per_prompt 8, accumulation 7", "a divisor of 192"],
    ),
    "a warm-up of RL that is ignored": (
        {"rl.recipes.grpo.warmup_steps": 5},
        ["rl.recipes.grpo: schedule constant with warmup_steps 5"],
    ),
    "a resume state between two steps on the same responses": (
        {"rl.recipes.grpo.iterations": 4, "rl.recipes.grpo.save_steps": 10},
        ["rl.recipes.grpo: save_steps 10, iterations 4", "set save_steps to 12"],
    ),
    "adapters of RL with dropout": (
        {"rl.recipes.grpo.lora": {"rank": 8, "alpha": 16.0, "dropout": 0.05}},
        ["rl.recipes.grpo.lora.dropout: 0.05", "set dropout: 0.0"],
    ),
    "a size of batches that nobody reads": (
        {"rl.recipes.grpo.rollouts": "continuous", "rl.recipes.grpo.rollout_batch_size": 8},
        ["rollout_batch_size 8, rollouts continuous", "static"],
    ),
    "an unknown engine of rollouts": ({"rl.recipes.grpo.rollouts": "sglang"}, ["'static', 'continuous' or 'vllm'"]),
    "a loss that follows the parts of a step": ({"rl.recipes.grpo.loss": "bnpo"}, ["rl.recipes.grpo.loss: 'bnpo'"]),
    "no choice about what is too long": (
        {"sft.trainer.max_length": {"tokens": 64, "beyond": "cut"}},
        ["sft.trainer.max_length.beyond: 'cut'", "'drop' or 'refuse'"],
    ),
    "QLoRA in shards": (
        {"parallel": "fsdp", "recover.trainer.four_bit": True, "recover.trainer.lora": ADAPTER},
        ["recover.trainer has four_bit: true (QLoRA)", "parallel: {sft: fsdp, rl: fsdp}"],
    ),
    "QLoRA in shards of recovery alone": (
        {"parallel": {"recover": "fsdp"}, "recover.trainer.four_bit": True, "recover.trainer.lora": ADAPTER},
        ["recover.trainer has four_bit: true (QLoRA)"],
    ),
    "adapters of SFT in shards": (
        {"parallel": "fsdp", "sft.trainer.lora": ADAPTER},
        ["sft.trainer has an adapter (lora)"],
    ),
    "adapters of RL in shards": (
        {"parallel": {"rl": "fsdp", "sft": "fsdp"}, "rl.recipes.grpo.lora": ADAPTER},
        ["rl.recipes.grpo has an adapter (lora)", "parallel: {sft: fsdp}"],
    ),
    "continuous rollouts in shards": (
        {"parallel": "fsdp", "rl.recipes.grpo.rollouts": "continuous"},
        ["rl.recipes.grpo has rollouts: continuous"],
    ),
    "an unknown way for one family": ({"parallel": {"rl": "fdsp"}}, ["parallel.rl: 'fdsp'", "'data' or 'fsdp'"]),
    "a way for a family that trains nothing": ({"parallel": {"evaluate": "data"}}, ["parallel.evaluate is not a key"]),
    "fewer prompts than a step takes": (
        {"data.generate.rl.items": 20},
        ["rl.recipes.grpo: prompts_per_step 24, while data/prompts/rl.jsonl has 20", "set prompts_per_step to 20"],
    ),
    "a part of the comparison left out": ({"report.pear.baseline": GONE}, ["report.pear.baseline is missing"]),
}


@pytest.mark.parametrize("name", BAD_CONFIGS)
def test_bad_config(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    changes, expected = BAD_CONFIGS[name]
    if any(value is GAME or (isinstance(value, dict) and "game" in value) for value in changes.values()):
        pytest.importorskip("reasoning_gym", reason="games are installed by `make games`")
    Path("config.yaml").write_text(yamls.dumps(edited(changes)))
    assert main(["check"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert_one_message(printed.err, expected)


BAD_FILES = {
    "no file": (None, ["no file config.yaml"]),
    "no YAML": ("name: [a\nsft: 1\n", ["config.yaml, line 2"]),
    "a tab": ("name: a\nsft:\n\tbase: b\n", ["config.yaml, line 3"]),
    "not text": (b"name: \xff\xfe", ["config.yaml"]),
    "empty": ("", ["config.yaml: nothing", "a mapping of keys"]),
    "a list": ("- a\n- b\n", ["config.yaml: list", "a mapping of keys"]),
    "a number as key": ("name: a\nsft: {1: b}\n", ["key 1 is no text"]),
    "a study that it extends by a path": ("extends: ../config\n", ["no study '../config'"]),
    "a key twice": (
        "name: a\nsft:\n  seeds: [1]\n  arms: []\n  seeds: [2]\n",
        ['config.yaml, line 5, column 3: found duplicate key "seeds"'],
    ),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_file(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    content, expected = BAD_FILES[name]
    if content is not None:
        Path("config.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert main(["check"]) == 1
    assert_one_message(capsys.readouterr().err, expected)
