"""The checks across the parts of a study: what the types of orchard.config cannot say."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from orchard import runs
from orchard.errors import UserError
from orchard.tasks import calc, gym, items

if TYPE_CHECKING:
    from orchard.config import Author, PretrainSet, PromptSet, Study


def cross_mistakes(study: Study) -> list[UserError]:
    """What the types cannot say, told by one small function each."""
    checks = [
        used_parts_are_filled,
        no_list_repeats,
        set_names_differ,
        shares_sum_to_one,
        tasks_and_styles_exist,
        games_take_their_options,
        ranges_go_up,
        models_exist,
        arms_exist,
        objectives_fit_their_data,
        nothing_feeds_itself,
        recovery_has_its_pruned_models,
        authors_have_settings,
        four_bits_have_adapters,
        recovery_runs_differ_in_name,
        selection_fits_the_methods,
        ratios_are_whole_layers,
        heads_fit,
        files_are_made_or_there,
        rates_and_schedules_fit,
        policies_tell_their_own_logps,
        tasks_are_sound,
        report_names_fitting_tasks,
        matched_tasks_ask_the_same,
        pear_compares_what_runs,
        pear_compares_what_differs,
        forms_are_pears,
        twins_are_alike,
        artifacts_are_models,
    ]
    return [mistake for check in checks for mistake in check(study)]


def used_parts_are_filled(study: Study) -> Iterator[UserError]:
    """A part in use has no null and no empty list."""
    needs = {
        "sft.arms": ["sft.seeds", "sft.trainer"],
        "prune.of": ["prune.methods", "prune.ratios", "prune.calibration"],
        "prune.skip": ["prune.calibration"],
        "recover.of": [
            f"recover.{key}" for key in ("methods", "ratios", "authors", "budgets", "seeds", "prompts", "trainer")
        ],
    }
    for user, needed in needs.items():
        used = value_at(study, user)
        for key in needed:
            if used and not (value := value_at(study, key)):
                yield UserError(
                    f"{key}: {value!r}, while {user} names {', '.join(used)}",
                    "what a used part needs is given",
                    "its stages are the product of these lists: without one of them nothing would run",
                    f"fill {key}, or set {user}: {type(used)()}",
                )


def no_list_repeats(study: Study) -> Iterator[UserError]:
    """A list that makes stages, or names tasks, has nothing twice."""
    keys = [
        *("sft.seeds", "prune.of", "prune.methods", "prune.ratios", "prune.skip"),
        *("recover.of", "recover.methods", "recover.ratios", "recover.seeds"),
        *("report.generation", "report.classification"),
    ]
    lists = {key: value_at(study, key) for key in keys}
    lists |= {f"recover.authors.{name}": authors for name, authors in study.recover.authors.items()}
    lists |= {f"sft.own_seeds.{name}": seeds for name, seeds in study.sft.own_seeds.items()}
    lists["report.pruning.matched"] = [pair.choice for pair in study.report.pruning.matched]
    if pear := study.report.pear:
        lists |= {f"report.pear.{key}": getattr(pear, key) for key in ("reversal", "forms", "controls", "plain")}
    for key, values in lists.items():
        for value in sorted({value for value in values if values.count(value) > 1}):
            yield UserError(
                f"{key}: {value!r} {values.count(value)} times",
                "a list has nothing twice",
                "two stages would write the same output, or one result would count twice",
                f"remove one {value!r}",
            )


def set_names_differ(study: Study) -> Iterator[UserError]:
    """A generated and an ingested set do not share a file."""
    for name, generated in study.data.generate.items():
        if name in study.data.ingest and study.data.ingest[name].role == generated.role:
            yield UserError(
                f"data.generate.{name} and data.ingest.{name}, both of role {generated.role}",
                "sets of one role differ in name",
                f"both would write data/{generated.role}/{name}.jsonl",
                "rename one of them",
            )


def shares_sum_to_one(study: Study) -> Iterator[UserError]:
    """Shares are the whole."""
    for key, shares in all_shares(study):
        if not math.isclose(total := sum(shares.values()), 1, abs_tol=1e-6):
            yield UserError(
                f"{key}: the shares sum to {total:g}",
                "they sum to 1",
                "they are the shares of one whole",
                f"change them, for example {next(iter(shares))} by {1 - total:+g}",
            )


def tasks_and_styles_exist(study: Study) -> Iterator[UserError]:
    """What a mix and a style name can be generated."""
    named = [
        (key, name, list(items.SAMPLERS) if key.endswith(".mix") else calc.STYLES)
        for key, shares in all_shares(study)
        for name in shares
    ]
    named += [
        (f"recover.{name}.style", author.style, calc.STYLES)
        for name, author in author_blocks(study)
        if author.kind == "style"
    ]
    for key, name, known in named:
        if name not in known:
            yield UserError(
                f"{key}: {name!r}",
                f"it is one of {', '.join(known)}",
                "only these can be generated",
                did_you_mean(name, known),
            )


def games_take_their_options(study: Study) -> Iterator[UserError]:
    """A game is one that reasoning-gym has and that fits here, and it takes its options."""
    sets = {name: each for name, each in study.data.generate.items() if hasattr(each, "game")}
    known = gym.games() if sets else {}  # importing the games takes a second, so only a study that plays waits for it
    for name, played in sets.items():
        key = f"data.generate.{name}"
        unknown = [option for option in played.options if option not in known.get(played.game, [option])]
        if played.game not in known:
            yield UserError(
                f"{key}.game: {played.game!r}",
                "it is a game of reasoning-gym that can be made again and scored safely",
                gym.why_unfit(played.game) or "only these can be generated",
                did_you_mean(played.game, known),
            )
        for option in unknown:
            yield UserError(
                f"{key}.options.{option} is no option of {played.game}",
                "options are those of the game, without seed and size",
                "a misspelt one would silently do nothing",
                did_you_mean(option, known[played.game]),
            )
        if played.game in known and not unknown and (said := gym.refusal(played.game, played.options)):
            yield UserError(
                f"{key}.options: {played.options}",
                f"{played.game} takes them; it says: {said}",
                "it could make no question",
                "correct the options, or write {} for the game's own",
            )


def ranges_go_up(study: Study) -> Iterator[UserError]:
    """[low, high] is in this order."""
    for name, generated in own_sets(study):
        low, high = generated.steps
        if low > high:
            yield UserError(
                f"data.generate.{name}.steps: [{low}, {high}]",
                "steps is [low, high] with low at most high",
                "a number of steps is drawn between the two",
                f"write [{high}, {low}]",
            )


def models_exist(study: Study) -> Iterator[UserError]:
    """A named model is made by some stage."""
    known = layers_of_models(study)
    named = [(f"behave.{name}.model", policy.model) for name, policy in study.behave.items()]
    lists = {"prune.of": study.prune.of, "prune.skip": study.prune.skip, "recover.of": study.recover.of}
    named += [(key, name) for key, names in lists.items() for name in names]
    for key, name in named:
        if name not in known:
            yield UserError(
                f"{key}: {name!r}",
                "it is a model of this study: base-<name>, sft-<arm>-<seed> or rl-<recipe>-<arm>-<seed>",
                "no stage would make it",
                did_you_mean(name, known),
            )


def artifacts_are_models(study: Study) -> Iterator[UserError]:
    """An artifact is a model of the study, of whatever stage."""
    tree = study.model_dump()
    known = runs.models(tree["base"], runs.expand(tree))
    for role, name in tree["artifacts"].items():
        if name is not None and name not in known:
            yield UserError(
                f"artifacts.{role}: {name!r}",
                "it is a model of this study, by its name in results/models, or null",
                "the checkpoint is handed out with its scores",
                did_you_mean(name, known),
            )


def arms_exist(study: Study) -> Iterator[UserError]:
    """An arm names an objective, a base and a policy that are there; so does whoever names an arm."""
    bases = [f"base-{name}" for name in study.base]
    named = [
        (f"sft.arms.{name}.{key}", getattr(arm, key), known)
        for name, arm in study.sft.arms.items()
        for key, known in (("objective", study.sft.objectives), ("base", bases), ("data", study.behave))
    ]
    named += [("sft.own_seeds", name, study.sft.arms) for name in study.sft.own_seeds]
    named += [("rl.arms", name, study.rl.recipes) for name in study.rl.arms]
    named += [
        (f"rl.arms.{recipe}", arm, study.sft.arms)
        for recipe, arms in study.rl.arms.items()
        for arm in ([] if arms == "all" else arms)
    ]
    for key, name, known in named:
        if name not in known:
            yield UserError(
                f"{key}: {name!r}",
                "it is a name that the study gives: of an objective, a base, a policy, a recipe or an arm",
                "a run needs all its parts",
                did_you_mean(name, known),
            )
    for recipe in study.rl.recipes:
        if recipe not in study.rl.arms:
            yield UserError(
                f"rl.recipes.{recipe}, without rl.arms.{recipe}",
                "a recipe says from which arms it starts",
                "it would run from none",
                f"add {recipe}: all, or a list of arms, to rl.arms",
            )


def objectives_fit_their_data(study: Study) -> Iterator[UserError]:
    """What an objective asks of its data, the policy gives."""
    for name, arm in study.sft.arms.items():
        objective, policy = study.sft.objectives.get(arm.objective), study.behave.get(arm.data)
        if not (objective and policy):
            continue
        asked = f"sft.arms.{name}: loss {objective.loss}, while behave.{arm.data} has"
        if objective.loss == "kl-stored" and policy.top_k == 0:
            yield UserError(
                f"{asked} top_k 0",
                "distillation from stored tokens needs some",
                "the loss is a sum over pi_beta's most likely tokens",
                f"set behave.{arm.data}.top_k to 1 or more",
            )
        if objective.loss == "kl-live" and not (policy.kind == "model" and policy.keep_policy):
            yield UserError(
                f"{asked} no model at hand",
                "live distillation needs a policy of kind model, with keep_policy: true",
                "pi_beta is run beside pi_theta",
                "use kl-stored, or another policy",
            )
        wanted = objective.select.styles if objective.select and objective.select.kind == "style" else []
        written = list(policy.styles) if policy.kind == "scripted" else []
        for style in wanted:
            if style not in written:
                styles = ", ".join(written) or "none"
                yield UserError(
                    f"sft.arms.{name}: select style {style}, while behave.{arm.data} writes {styles}",
                    "a selected style is one that the policy writes",
                    "no row would be left of it",
                    "name one of those",
                )


def nothing_feeds_itself(study: Study) -> Iterator[UserError]:
    """The policy that SFT learns from does not come from that SFT."""
    for data in dict.fromkeys(arm.data for arm in study.sft.arms.values()):
        policy = study.behave.get(data)
        if policy and policy.model.startswith(("sft-", "rl-")):
            yield UserError(
                f"behave.{data}.model: {policy.model!r}, while sft.arms learn from {data!r}",
                "the policy that SFT learns from is a base",
                "the checkpoint would have to exist before it is trained",
                "name a base-<name>",
            )


def recovery_has_its_pruned_models(study: Study) -> Iterator[UserError]:
    """Recovery starts from models that the prune stage makes."""
    for key in ("of", "methods", "ratios"):
        pruned = getattr(study.prune, key)
        for value in getattr(study.recover, key):
            if value not in pruned and study.recover.of:
                yield UserError(
                    f"recover.{key}: {value!r}",
                    f"it is in prune.{key} as well ({', '.join(map(str, pruned)) or 'empty'})",
                    "recovery starts from the pruned model",
                    f"add it to prune.{key}, or remove it here",
                )


def authors_have_settings(study: Study) -> Iterator[UserError]:
    """An author has a block of settings, and the two of a mixture are authors of responses of their own."""
    blocks = dict(author_blocks(study))
    named = [
        (f"recover.authors.{name}", author) for name, authors in study.recover.authors.items() for author in authors
    ]
    mixtures = {name: block for name, block in blocks.items() if block.kind == "mixed"}
    named += [(f"recover.{name}.of", part) for name, block in mixtures.items() for part in block.of]
    for key, author in named:
        if author not in blocks:
            yield UserError(
                f"{key}: {author!r}",
                f"an author has a block recover.{author}",
                "it says how the responses are made",
                f"add the block; {did_you_mean(author, blocks)}",
            )
    for name in study.recover.authors.keys() - study.recover.budgets.keys():
        yield UserError(
            f"recover.authors.{name}",
            "it is the name of a budget of recover.budgets",
            "the budget says how much its authors' responses are learnt from",
            did_you_mean(name, study.recover.budgets),
        )
    for name, block in mixtures.items():
        if set(block.of) & mixtures.keys() or len(set(block.of)) < 2:
            yield UserError(
                f"recover.{name}.of: {', '.join(block.of)}",
                "a mixture is of two different authors who write themselves",
                "each prompt's response is one of theirs",
                "name two other authors",
            )


def four_bits_have_adapters(study: Study) -> Iterator[UserError]:
    """QLoRA is LoRA."""
    if (trainer := study.recover.trainer) and trainer.four_bit and not trainer.lora:
        yield UserError(
            "recover.trainer: four_bit true, lora null",
            "weights held in 4 bits are not trained: adapters are",
            "a step would be smaller than the spacing of 4-bit numbers",
            "fill recover.trainer.lora, or set four_bit: false",
        )


def recovery_runs_differ_in_name(study: Study) -> Iterator[UserError]:
    """No two recoveries are named alike, as author a-b with budget c is by author a with budget b-c."""
    pairs = [f"{author}-{name}" for name, authors in study.recover.authors.items() for author in authors]
    for pair in sorted({pair for pair in pairs if pairs.count(pair) > 1}):
        yield UserError(
            f"recover.authors: {pair} is the name of two recoveries",
            "author and budget together are one name, and it is nobody else's",
            "two stages would write the same output",
            "rename a budget",
        )


def selection_fits_the_methods(study: Study) -> Iterator[UserError]:
    """The greedy search has items to select on, and a choice in its last round."""
    if "greedy" not in study.prune.methods or not study.prune.of:
        return
    if study.prune.selection is None:
        yield UserError(
            "prune.selection: null, while prune.methods has greedy",
            "the search scores its candidates on selection items",
            "without them no layer is better than another",
            "fill prune.selection, or remove greedy",
        )
    layers_of = layers_of_models(study)
    for layers in dict.fromkeys(layers_of[name] for name in study.prune.of if name in layers_of):
        for ratio in study.prune.ratios:
            count = ratio if isinstance(ratio, int) else round(ratio * layers)
            if layers - 1 <= count < layers:
                yield UserError(
                    f"prune.ratios: {ratio} of {layers} layers is {count} layers, while prune.methods has greedy",
                    f"it is at most {layers - 2} layers",
                    "greedy search always keeps layer 0, and its last round needs a choice",
                    "lower the ratio, or remove greedy",
                )


def ratios_are_whole_layers(study: Study) -> Iterator[UserError]:
    """A ratio is a whole number of layers of each model, leaves one, and is no other ratio by another name."""
    layers_of = layers_of_models(study)
    for layers in dict.fromkeys(layers_of[name] for name in study.prune.of if name in layers_of):
        first: dict[int, int | float] = {}
        for ratio in study.prune.ratios:
            wanted = ratio if isinstance(ratio, int) else ratio * layers
            count = round(wanted)
            if abs(count - wanted) > 1e-6 or count >= layers:
                nearest = min(max(count, 1), layers - 1) / layers
                yield UserError(
                    f"prune.ratios: {ratio} of {layers} layers is {wanted:g} layers",
                    "it is a whole number and leaves a layer",
                    "a layer is dropped whole or kept",
                    f"use a multiple of 1/{layers}, for example {nearest:.10g}, or a number of layers below {layers}",
                )
            elif (other := first.setdefault(count, ratio)) != ratio:
                yield UserError(
                    f"prune.ratios: {other} and {ratio} of {layers} layers are both {count} layers",
                    "each ratio is another number of layers",
                    "two stages would make the same model, and one result would count twice",
                    "remove one of the two",
                )


def heads_fit(study: Study) -> Iterator[UserError]:
    """The hidden size divides into heads of even size."""
    for name, base in study.base.items():
        if base.kind == "pretrain" and base.model.hidden_size % (2 * base.model.heads):
            hidden, heads = base.model.hidden_size, base.model.heads
            yield UserError(
                f"base.{name}.model: hidden_size {hidden}, heads {heads}",
                "hidden_size is a multiple of 2 × heads",
                "each head gets an equal part, which rotary positions turn in pairs",
                f"set hidden_size to {max(1, round(hidden / (2 * heads))) * 2 * heads}",
            )


def files_are_made_or_there(study: Study) -> Iterator[UserError]:
    """A file that a stage reads is made by another stage, or lies outside data/ and is there."""
    made = {
        f"data/{each.role}/{name}.jsonl"
        for sets in (study.data.generate, study.data.ingest)
        for name, each in sets.items()
    }
    made |= {"data/recovery"} & {str(Path(file).parent) for file in made}  # the one folder that is read as a whole
    fetched = {f"data/fetched/{name}" for name in study.data.fetch}
    for key, path, roles in files_read(study):
        if broken := broken_path_rule(path, [f"data/{role}/" for role in roles], made, fetched):
            yield UserError(f"{key}: {path!r}", *broken)


WATCHED = {
    "data/eval/": "evaluation reads sets of role eval",
    "data/calibration/": "the search selects on sets of role calibration",
}


def broken_path_rule(path: str, folders: list[str], made: set[str], fetched: set[str]) -> tuple[str, str, str] | None:
    """The rule that a path breaks, why it is one, and the fix; nothing if the path is good.

    Args:
        path: the path of a file or folder that a stage reads.
        folders: the folders of data/ that the stage may read from.
        made: the data sets that stages make.
        fetched: the folders that fetch stages make.
    """
    parts = Path(path).parts
    fitting = [file for file in made if file.startswith(tuple(folders))]
    if os.path.normpath(path) != path:
        return "a path is written the short way", "DVC knows a file by one path only", f"write {os.path.normpath(path)}"
    if len(folders) == 1 and folders[0] in WATCHED and not path.startswith(folders[0]):
        reason = f"{folders[0]} is what DVC watches for it; a change elsewhere would go unseen"
        return WATCHED[folders[0]], reason, did_you_mean(path, fitting)
    if parts[:1] == ("results",):
        reason = "stages are joined by names, not by paths"
        return "inputs lie outside results/", reason, "name a data set, or a file of your own"
    if parts[:1] != ("data",):
        there = Path(path).exists()
        return None if there else ("the file exists", "a stage reads it", "correct the path, or put the file there")
    if parts[:2] == ("data", "fetched"):
        rule = "data/fetched/<name> is made by data.fetch.<name>"
        return None if "/".join(parts[:3]) in fetched else (rule, "no stage would make it", did_you_mean(path, fetched))
    if not f"{path}/".startswith(tuple(folders)):
        rule = f"it lies in {' or '.join([*folders, 'data/fetched/'])}, or outside data/"
        return (
            rule,
            "a stage reads its own kind of data, and only evaluation sees its items",
            did_you_mean(path, fitting),
        )
    if path not in made:
        rule = "data/<role>/<set>.jsonl is made by a set of that role under data.generate or data.ingest"
        return rule, "no stage would make it", did_you_mean(path, made)
    return None


def rates_and_schedules_fit(study: Study) -> Iterator[UserError]:
    """A loss has a learning rate, and warm-up steps a schedule that takes them."""
    for name, objective in study.sft.objectives.items():
        if objective.loss != "none" and objective.learning_rate == 0:
            yield UserError(
                f"sft.objectives.{name}.learning_rate: 0",
                "an objective with a loss has a learning rate above 0",
                "nothing would be learnt",
                "set one, or loss: none",
            )
        weights = objective.weights
        if weights and weights.kind == "pear" and (weights.form == "block") != (weights.block is not None):
            yield UserError(
                f"sft.objectives.{name}.weights: form {weights.form}, block {weights.block}",
                "the block form, and no other, has a block length",
                "a length that is not read misleads",
                "set block: 4 (the paper's figure) for form block, else null",
            )
        if weights and objective.loss in ("none", "dft"):
            yield UserError(
                f"sft.objectives.{name}: loss {objective.loss} with weights",
                "weights multiply nll or a distillation loss",
                "DFT is a rival that has weights of its own",
                "set weights: null, or loss: nll",
            )
    for key, trainer in (("sft.trainer", study.sft.trainer), ("recover.trainer", study.recover.trainer)):
        if trainer and trainer.batch_size % trainer.accumulation:
            yield UserError(
                f"{key}: batch_size {trainer.batch_size}, accumulation {trainer.accumulation}",
                "batch_size is that of an optimizer step, a multiple of accumulation",
                "each part of it has the same number of rows",
                f"set accumulation to a divisor of {trainer.batch_size}",
            )
        if trainer and trainer.schedule == "constant" and trainer.warmup_steps:
            yield UserError(
                f"{key}: schedule constant with warmup_steps {trainer.warmup_steps}",
                "the schedule `constant` has no warm-up",
                "transformers would silently ignore the warm-up",
                "write schedule: constant_with_warmup, or warmup_steps: 0",
            )


def policies_tell_their_own_logps(study: Study) -> Iterator[UserError]:
    """A model's data are sampled from the very distribution whose log-probs are stored."""
    for name, policy in study.behave.items():
        if policy.kind == "model" and (policy.sampling.temperature != 1 or policy.sampling.top_p != 1):
            yield UserError(
                f"behave.{name}.sampling: temperature {policy.sampling.temperature:g}, top_p {policy.sampling.top_p:g}",
                "both are 1",
                "the stored log-probs are the model's own, so the samples must be too",
                "set temperature: 1.0 and top_p: 1.0",
            )


def tasks_are_sound(study: Study) -> Iterator[UserError]:
    """Few-shot examples are given if and only if they are asked for; several samples differ."""
    selection = study.prune.selection.tasks if study.prune.selection else {}
    for key, task in [
        *((f"evaluate.tasks.{name}", task) for name, task in own_tasks(study)),
        *((f"prune.selection.tasks.{name}", task) for name, task in selection.items()),
    ]:
        shots = task.few_shot
        if (shots.count == 0) != (shots.items is None):
            yield UserError(
                f"{key}.few_shot: count {shots.count}, items {shots.items!r}",
                "items is null if and only if count is 0",
                "examples must come from somewhere, and a file that is not read misleads",
                "set both, or 0 and null",
            )
        if shots.items == task.items:
            yield UserError(
                f"{key}.few_shot.items: {shots.items!r}, which is also {key}.items",
                "examples come from another file than the items",
                "the model would be shown the answers that it is scored on",
                "name another set",
            )
    for name, task in study.evaluate.tasks.items():
        if task.kind in ("generation", "summary") and task.temperature == 0 and task.samples > 1:
            yield UserError(
                f"evaluate.tasks.{name}: {task.samples} samples at temperature 0",
                "several samples have a temperature above 0",
                "greedy samples are all the same, so pass@k would be pass@1",
                "set temperature: 1.0, or samples: 1",
            )


def own_tasks(study: Study) -> list[tuple]:
    """The tasks whose items are files of the study; the others are lm-eval's."""
    return [(name, task) for name, task in study.evaluate.tasks.items() if task.kind != "lm-eval"]


def report_names_fitting_tasks(study: Study) -> Iterator[UserError]:
    """The report counts generation tasks as generation, and multiple choice as classification."""
    kinds = {name: task.kind for name, task in study.evaluate.tasks.items()}
    named = [("report.generation", name, ["generation"]) for name in study.report.generation]
    named += [("report.classification", name, ["choice", "minimal-pair"]) for name in study.report.classification]
    pear = study.report.pear
    named += [("report.pear.task", pear.task, ["generation"])] if pear else []
    named += [(f"report.pear.{key}.task", other.task, ["generation"]) for key, other in other_families(pear)]
    named += [(f"report.pruning.{key}", name, [kind]) for key, name, kind in pruning_tasks(study)]
    for key, name, fitting in named:
        if kinds.get(name) not in fitting:
            found = f"of kind {kinds[name]}" if name in kinds else "no task"
            yield UserError(
                f"{key}: {name!r}, {found}",
                f"it is one of evaluate.tasks, of kind {' or '.join(fitting)}",
                "the claims compare the two kinds of scoring",
                did_you_mean(name, [n for n in kinds if kinds[n] in fitting]),
            )


def matched_tasks_ask_the_same(study: Study) -> Iterator[UserError]:
    """Two tasks that differ in nothing but the way of scoring have their items and examples in common."""
    tasks = study.evaluate.tasks
    for pair in study.report.pruning.matched:
        if not {pair.choice, pair.generation} <= tasks.keys():
            continue
        choice, generation = tasks[pair.choice], tasks[pair.generation]
        fitting = (choice.kind, generation.kind) == ("choice", "generation")  # else told elsewhere
        if fitting and (choice.items, choice.few_shot) != (generation.items, generation.few_shot):
            yield UserError(
                f"report.pruning.matched: {pair.choice!r} and {pair.generation!r} differ in items or few_shot",
                "a matched pair asks the same items after the same examples",
                "L13 compares two ways of scoring, and nothing else may differ",
                f"give evaluate.tasks.{pair.generation} the items and few_shot of {pair.choice}",
            )


def pear_compares_what_runs(study: Study) -> Iterator[UserError]:
    """What PEAR's claims compare has arms that run on its data, and recipes that run."""
    if not (pear := study.report.pear):
        return
    told_elsewhere = {arm.data for arm in study.sft.arms.values()} - study.behave.keys()  # by arms_exist
    on_data = {arm.objective for arm in study.sft.arms.values() if arm.data in told_elsewhere | {pear.data}}
    named = [
        ("data", pear.data, {arm.data for arm in study.sft.arms.values()}),
        ("recipe", pear.recipe, study.rl.recipes),
        *((f"{key}.recipe", other.recipe, study.rl.recipes) for key, other in other_families(pear)),
        *((key, name, on_data) for key, name in pear_objectives(study) if on_data),
    ]
    for key, name, known in named:
        if name not in known:
            yield UserError(
                f"report.pear.{key}: {name!r}",
                "it is the data of arms that run, an objective of arms that run on that data, or a recipe",
                "only what runs can be compared",
                did_you_mean(name, known),
            )


def pear_compares_what_differs(study: Study) -> Iterator[UserError]:
    """No objective is compared with itself, and transfer goes elsewhere."""
    if not (pear := study.report.pear):
        return
    pairs = [("baseline", pear.baseline, "treatment", pear.treatment)]
    pairs += [("baseline", pear.baseline, "forms", name) for name in pear.forms]
    pairs += [("treatment", pear.treatment, "controls", name) for name in pear.controls]
    if apart := pear.distillation:
        pairs += [("distillation.baseline", apart.baseline, "distillation.treatment", apart.treatment)]
    if away := pear.transfer:
        pairs += [("recipe", pear.recipe, "transfer.recipe", away.recipe)]
    for key, name, other_key, other in pairs:
        if name == other:
            yield UserError(
                f"report.pear: {key} and {other_key} are both {name!r}",
                "what is compared differs",
                "nothing differs from itself, and transfer is RL by another recipe",
                f"correct report.pear.{key} or report.pear.{other_key}",
            )


def forms_are_pears(study: Study) -> Iterator[UserError]:
    """report.pear.forms has PEAR's own forms, one objective each."""
    found: dict[str, str] = {}
    for name in dict.fromkeys(study.report.pear.forms if study.report.pear else []):
        if not (objective := study.sft.objectives.get(name)):
            continue
        weights = objective.weights
        if not (weights and weights.kind == "pear" and weights.shuffle is None):
            yield UserError(
                f"report.pear.forms: {name!r}, whose weights are not PEAR's, or are shuffled",
                "a form is an objective with weights of kind pear, not shuffled",
                "P5 says of PEAR's forms, and of nothing else, that each beats SFT",
                "name PEAR's forms; rivals with a part of PEAR stand under report.pear.controls",
            )
        elif (other := found.setdefault(weights.form, name)) != name:
            yield UserError(
                f"report.pear.forms: {other!r} and {name!r} are both of form {weights.form}",
                "each form stands once",
                "P5 is tested when all three forms are there, so three objectives must be three forms",
                "remove one of the two",
            )


def twins_are_alike(study: Study) -> Iterator[UserError]:
    """The two objectives of the A/A check are one by two names, and share no seed."""
    pear, objectives = study.report.pear, study.sft.objectives
    if not (pear and pear.twins and {pear.twins.one, pear.twins.other} <= objectives.keys()):
        return
    one, other = pear.twins.one, pear.twins.other
    if one == other or objectives[one] != objectives[other]:
        yield UserError(
            f"report.pear.twins: {one!r} and {other!r}, " + ("one name" if one == other else "which differ"),
            "twins are two names under sft.objectives with the same settings",
            "an A/A check asks whether two arms that are alike come out alike",
            f"write the settings of {one!r} a second time under another name",
        )
    elif common := seeds_of(study, one) & seeds_of(study, other):
        yield UserError(
            f"report.pear.twins: {one!r} and {other!r} share the seeds {', '.join(map(str, sorted(common)))}",
            "twins have seeds of their own",
            "with one seed they would be the same model twice, and differ by nothing at all",
            f"give the arm of {other!r} other seeds under sft.own_seeds",
        )


# What the checks ask of a study


def seeds_of(study: Study, objective: str) -> set[int]:
    """The seeds of the arms of an objective on the data that PEAR's claims are about."""
    arms = {name for name, arm in study.sft.arms.items() if arm.objective == objective}
    arms = {name for name in arms if study.sft.arms[name].data == study.report.pear.data}
    return {seed for name in arms for seed in study.sft.own_seeds.get(name, study.sft.seeds)}


def layers_of_models(study: Study) -> dict[str, int]:
    """The models that can be pruned or imitated, and the number of layers of each."""
    plain = study.model_dump()
    trained = {"sft": runs.sft(plain["sft"])}
    trained["rl"] = runs.rl(plain["rl"], trained["sft"])
    return runs.layers(plain["base"], trained)


def pear_objectives(study: Study) -> Iterator[tuple[str, str]]:
    """Each objective that report.pear names, with its key there."""
    pear = study.report.pear
    yield from (("baseline", pear.baseline), ("treatment", pear.treatment))
    for key in ("reversal", "forms", "controls", "plain"):
        yield from ((key, name) for name in getattr(pear, key))
    if pear.twins:
        yield "twins.one", pear.twins.one
        yield "twins.other", pear.twins.other
    if pear.distillation:
        yield "distillation.baseline", pear.distillation.baseline
        yield "distillation.treatment", pear.distillation.treatment


def other_families(pear) -> Iterator[tuple[str, object]]:
    """What report.pear names of other families of tasks, with its key there."""
    if pear:
        yield from ((key, other) for key in ("transfer", "games") if (other := getattr(pear, key)))


def pruning_tasks(study: Study) -> Iterator[tuple[str, str, str]]:
    """Each task that report.pruning names: its key there, its name, and the kind that it must be of."""
    pruning = study.report.pruning
    for key, kind in (("probe", "choice"), ("brackets", "generation")):
        if name := getattr(pruning, key):
            yield key, name, kind
    for number, pair in enumerate(pruning.matched):
        yield f"matched[{number}].choice", pair.choice, "choice"
        yield f"matched[{number}].generation", pair.generation, "generation"


def files_read(study: Study) -> Iterator[tuple[str, str, list[str]]]:
    """Each file that a used stage reads: its key, its path, and the roles that a data set there may have."""
    to_learn_from = ["prompts", "calibration", "pretrain"]
    for name, ingest in study.data.ingest.items():
        yield f"data.ingest.{name}.path", ingest.path, []
    for name, base in study.base.items():
        yield f"base.{name}.source", base.source, ["pretrain"] if base.kind == "pretrain" else []
    for name, policy in study.behave.items():
        yield f"behave.{name}.prompts", policy.prompts, to_learn_from
    for name, recipe in study.rl.recipes.items():
        yield f"rl.recipes.{name}.prompts", recipe.prompts, to_learn_from
    if (study.prune.of or study.prune.skip) and study.prune.calibration:
        yield "prune.calibration.items", study.prune.calibration.items, to_learn_from
    if study.prune.of and study.prune.selection and "greedy" in study.prune.methods:
        for name, task in study.prune.selection.tasks.items():
            yield f"prune.selection.tasks.{name}.items", task.items, ["calibration"]
            if task.few_shot.items is not None:
                yield f"prune.selection.tasks.{name}.few_shot.items", task.few_shot.items, ["calibration"]
    if study.recover.of and study.recover.prompts:
        yield "recover.prompts", study.recover.prompts, [*to_learn_from, "recovery"]
    for name, task in own_tasks(study):
        yield f"evaluate.tasks.{name}.items", task.items, ["eval"]
        if task.few_shot.items is not None:
            yield f"evaluate.tasks.{name}.few_shot.items", task.few_shot.items, ["eval"]


def value_at(study: Study, key: str):
    """The value of a dotted key, ``sft.arms``."""
    part, field = key.split(".")
    return getattr(getattr(study, part), field)


def own_sets(study: Study) -> list[tuple[str, PretrainSet | PromptSet]]:
    """The generated sets that are made of orchard's own tasks."""
    return [(name, each) for name, each in study.data.generate.items() if not hasattr(each, "game")]


def all_shares(study: Study) -> Iterator[tuple[str, dict[str, float]]]:
    """Each mapping of shares, with its key."""
    for name, generated in own_sets(study):
        yield f"data.generate.{name}.mix", generated.mix
        if generated.role == "pretrain":
            yield f"data.generate.{name}.styles", generated.styles
    for name, policy in study.behave.items():
        if policy.kind == "scripted":
            yield f"behave.{name}.styles", policy.styles


def author_blocks(study: Study) -> list[tuple[str, Author]]:
    """The settings blocks of authors under ``recover``, in use or not."""
    return list(study.recover.__pydantic_extra__.items())


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A fix that suggests the nearest known name, or lists them."""
    near = difflib.get_close_matches(name, list(known), 1)
    return (
        f"did you mean {near[0]!r}?"
        if near
        else f"name one of these: {', '.join(sorted(known)) or 'there is none yet, so add it'}"
    )
