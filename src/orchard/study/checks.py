"""The rules across the blocks of a study. Those within one block stand in its module of `orchard.study.schema`."""

from collections.abc import Callable, Iterator

from orchard import paths
from orchard.errors import UserError, did_you_mean
from orchard.study import files, runs, suites
from orchard.study.schema.base import Loaded, Pretrained
from orchard.study.schema.common import way
from orchard.study.schema.data import GameSet, Ingest, NamedData, PretrainSet, PromptSet
from orchard.study.schema.evaluate import OWN, GenerationTask, NamedTask, ScoredTask
from orchard.study.schema.prune import WHOLE_LAYERS, WHY_WHOLE, nearest_ratio, whole_layers
from orchard.study.schema.report import OtherFamily, Pear
from orchard.study.schema.rl import ENOUGH_PROMPTS, WHY_ENOUGH
from orchard.study.schema.sft import Objective
from orchard.study.schema.study import Study
from orchard.tasks import calc, games, generated

READING = {"block-influence", "angular", "perplexity"}  # methods that measure layers on calibration texts
Broken = Iterator[tuple[str, str]]  # what was found, and the fix
CHECKS: list[Callable[[Study], Iterator[UserError]]] = []


def mistakes(study: Study) -> Iterator[UserError]:
    """A message for every rule that a study breaks."""
    for check in CHECKS:
        yield from check(study)
    yield from files.mistakes(study)


def rule(words: str, *, why: str) -> Callable:
    """Makes a check of a function that yields what it found and the fix.

    Args:
        words: the rule.
        why: the reason for it.
    """

    def register(find: Callable[[Study], Broken]) -> Callable[[Study], Broken]:
        CHECKS.append(
            lambda study: (UserError(found=found, rule=words, why=why, fix=fix) for found, fix in find(study))
        )
        return find

    return register


# Data


@rule("sets of one role differ in name", why="both would write the same file")
def set_names_differ(study: Study) -> Broken:
    for name, made in study.data.generate.items():
        if name in study.data.ingest and study.data.ingest[name].role == made.role:
            yield f"data.generate.{name} and data.ingest.{name}, both of role {made.role}", "rename one of them"


@rule(f"it is one of {', '.join(generated.TASKS)}", why="only these can be generated")
def tasks_exist(study: Study) -> Broken:
    for name, made in _own_sets(study):
        for task in made.mix:
            if task not in generated.TASKS:
                yield f"data.generate.{name}.mix: {task!r}", did_you_mean(task, generated.TASKS)


@rule(f"it is one of {', '.join(calc.STYLES)}", why="only these can be generated")
def styles_exist(study: Study) -> Broken:
    for key, style in _styles(study):
        if style not in calc.STYLES:
            yield f"{key}: {style!r}", did_you_mean(style, calc.STYLES)


@rule(
    "a set whose prompts show work (calc-step) has a style in which each task of its mix can be written",
    why="the work is written in it, and a model misses steps in a style that it does not write",
)
def sets_have_fitting_styles(study: Study) -> Broken:
    for name, made in _own_sets(study):
        tasks = [generated.TASKS[task] for task in made.mix if task in generated.TASKS]
        if isinstance(made, PretrainSet) or not any(task.styles for task in tasks):
            continue
        fitting = [style for style in calc.STYLES if all(style in task.styles for task in tasks if task.styles)]
        is_missing = made.style is None and "calc-step" in made.mix
        if is_missing or (made.style in calc.STYLES and made.style not in fitting):
            yield f"data.generate.{name}.style: {made.style or 'null'}", f"name one of {', '.join(fitting)}"


@rule(
    "it is a game of reasoning-gym that can be made again and scored safely",
    why="another would give other questions each time, or run what a model wrote",
)
def games_exist(study: Study) -> Broken:
    sets = _game_sets(study)
    known = games.games() if sets else {}  # importing the games takes a second, so only a study that plays waits for it
    for name, played in sets.items():
        if played.game not in known:
            reason = games.why_unfit(played.game)
            fix = did_you_mean(played.game, known)
            yield f"data.generate.{name}.game: {played.game!r}" + (f" ({reason})" if reason else ""), fix


@rule("options are those of the game, without seed and size", why="a misspelt one would silently do nothing")
def game_options_exist(study: Study) -> Broken:
    for name, played, known in _known_games(study):
        for option in played.options:
            if option not in known:
                found = f"data.generate.{name}.options.{option} is no option of {played.game}"
                yield found, did_you_mean(option, known)


@rule("the game takes its options", why="it could make no question")
def games_take_their_options(study: Study) -> Broken:
    for name, played, known in _known_games(study):
        fits = played.options.keys() <= set(known)
        if fits and (refusal := games.refusal(played.game, played.options)):
            found = f"data.generate.{name}.options: {played.options}, to which {played.game} says: {refusal}"
            yield found, "correct the options, or write {} for the game's own"


# Models and arms


@rule(
    "what a used part needs is given",
    why="its stages are the product of these lists: without one of them nothing would run",
)
def used_parts_are_filled(study: Study) -> Broken:
    needs = {
        "sft.arms": ["sft.trainer"],
        "prune.of": ["prune.methods", "prune.ratios", "prune.calibration"],
        "recover.of": [f"recover.{key}" for key in "methods ratios responses budgets prompts trainer".split()],
    }
    for user, needed in needs.items():
        used = _value_at(study, user)
        for key in needed:
            if used and not (value := _value_at(study, key)):
                found = f"{key}: {value!r}, while {user} names {', '.join(used)}"
                yield found, f"fill {key}, or set {user}: {type(used)()}"


@rule(
    "it is a model of this study, base-<name>-<seed>, sft-<arm>-<seed> or rl-<recipe>-<arm>-<seed>, or without the "
    "seed all replicates",
    why="no stage would make it",
)
def models_exist(study: Study) -> Broken:
    known = runs.replicates(runs.unpruned(study))
    for key in ("prune.of", "prune.skip", "recover.of"):
        for name in _value_at(study, key):
            if name not in known:
                yield f"{key}: {name!r}", did_you_mean(name, known)


@rule(
    "it is one model of this study: base-<name>-<seed>, or base-<name> of a loaded one; likewise sft-… and rl-…",
    why="data come from one policy, whichever model learns from them",
)
def policies_are_models(study: Study) -> Broken:
    known = list(runs.layers(runs.unpruned(study)))
    for name, policy in study.behave.items():
        if policy.model not in known:
            yield f"behave.{name}.model: {policy.model!r}", did_you_mean(policy.model, known)


@rule(
    "it is one model of this study, by its name in results/models, or null",
    why="the checkpoint is handed out with its scores",
)
def artifacts_are_models(study: Study) -> Broken:
    known = runs.models(runs.expand(study))
    for role, name in study.artifacts:
        if name is not None and name not in known:
            yield f"artifacts.{role}: {name!r}", did_you_mean(name, known)


@rule(
    "each name is that of one model, or of the replicates of one",
    why="two stages would write the same output, or a list would name two things",
)
def names_differ(study: Study) -> Broken:
    owner: dict[str, str] = {}
    for key, group, seeds in _groups(study):
        for name in dict.fromkeys([group, *(f"{group}-{seed}" for seed in seeds)]):
            if (other := owner.setdefault(name, key)) != key:
                yield f"{name}: of {other} and of {key}", "rename one of the two"


@rule(
    "it is a name that the study gives: of an objective, a base, a policy, a recipe or an arm",
    why="a run needs all its parts",
)
def arms_exist(study: Study) -> Broken:
    bases = [f"base-{name}" for name in study.base]
    named = [
        (f"sft.arms.{name}.{key}", getattr(arm, key), known)
        for name, arm in study.sft.arms.items()
        for key, known in (("objective", study.sft.objectives), ("base", bases), ("data", study.behave))
    ]
    named += [("rl.arms", name, study.rl.recipes) for name in study.rl.arms]
    named += [
        (f"rl.arms.{recipe}", arm, study.sft.arms)
        for recipe, arms in study.rl.arms.items()
        for arm in ([] if arms == "all" else arms)
    ]
    for key, name, known in named:
        if name not in known:
            yield f"{key}: {name!r}", did_you_mean(name, known)


@rule(
    "pretrained bases say their seeds, and sft.seeds are those of loaded bases",
    why="replicate r of an arm starts from replicate r of its base, and one fact stands in one place",
)
def seeds_stand_with_the_base(study: Study) -> Broken:
    bases = {f"base-{name}": base for name, base in study.base.items()}
    loaded = [name for name, arm in study.sft.arms.items() if isinstance(bases.get(arm.base), Loaded)]
    if study.sft.seeds and not loaded:
        yield f"sft.seeds: {study.sft.seeds}, while no arm has a loaded base", "remove it: base.<name>.seeds has them"
    if loaded and not study.sft.seeds:
        yield f"sft.seeds: [], while the base of arm {loaded[0]!r} is loaded", "give at least one, for example [1]"


@rule(
    "an objective has one arm on each base and data",
    why="the claims pair arms by base and seed, and two of one objective could not be told apart",
)
def objectives_have_one_arm(study: Study) -> Broken:
    first: dict[tuple, str] = {}
    for name, arm in study.sft.arms.items():
        if (other := first.setdefault((arm.objective, arm.base, arm.data), name)) != name:
            yield f"sft.arms: {other!r} and {name!r} are both of {arm.objective!r}", "give one another objective's name"


@rule("a recipe says from which arms it starts", why="it would run from none")
def recipes_have_arms(study: Study) -> Broken:
    for recipe in study.rl.recipes:
        if recipe not in study.rl.arms:
            yield f"rl.recipes.{recipe}, without rl.arms.{recipe}", f"add {recipe}: all, or a list of arms, to rl.arms"


@rule(
    "what works on whole matrices has parallel: data",
    why="under fsdp each process has a shard of the weights, into which no adapter can be merged, and no engine reads",
)
def whole_models_are_not_sharded(study: Study) -> Broken:
    for family, key, needing in _needing_whole_models(study):
        if way(study.parallel, family) == "fsdp":
            others = [each for each in ("sft", "rl", "recover") if each != family]
            said = ", ".join(f"{each}: fsdp" for each in others if way(study.parallel, each) == "fsdp")
            alone = f", or for this family alone: parallel: {{{said}}}" if said else ""
            yield f"parallel: fsdp, while {key} has {needing}", f"set parallel: data{alone}"


@rule(ENOUGH_PROMPTS, why=WHY_ENOUGH)
def recipes_fill_a_step(study: Study) -> Broken:
    for name, recipe in study.rl.recipes.items():
        most = files.most_rows(study.data, recipe.prompts)
        if most is not None and most < recipe.prompts_per_step:
            found = f"rl.recipes.{name}: prompts_per_step {recipe.prompts_per_step}, while {recipe.prompts} has {most}"
            yield found, f"set prompts_per_step to {most} or less, or name a larger set" if most else "name another set"


@rule(
    "a scripted policy writes the responses itself, to prompts that the study generates",
    why="of given answers log pi_beta would be 0, and PEAR's weights would follow the place of a token alone",
)
def scripted_policies_write(study: Study) -> Broken:
    sets = files.data_sets(study.data)
    for name, policy in study.behave.items():
        made = sets.get(policy.prompts)
        is_given = isinstance(made, GameSet) or (isinstance(made, Ingest) and made.format != "jsonl")
        if policy.kind == "scripted" and is_given:
            found = f"behave.{name}: kind scripted, while the answers to {policy.prompts} are given"
            yield found, "set kind: given, and name as model the teacher whose log-probs the answers get"


@rule(
    "distillation from stored tokens needs some",
    why="the loss is a sum over pi_beta's most likely tokens",
)
def stored_tokens_are_there(study: Study) -> Broken:
    for name, arm, objective, policy in _joined_arms(study):
        if objective.loss != "kl-stored":
            continue
        if policy.kind == "given":
            yield f"sft.arms.{name}: loss kl-stored, while behave.{arm.data} is given", "name another policy"
        elif policy.top_k == 0:
            found = f"sft.arms.{name}: loss kl-stored, while behave.{arm.data} has top_k 0"
            yield found, f"set behave.{arm.data}.top_k to 1 or more"


@rule(
    "live distillation needs a policy of kind model, with keep_policy: true",
    why="pi_beta is run beside pi_theta",
)
def live_policies_are_kept(study: Study) -> Broken:
    for name, arm, objective, policy in _joined_arms(study):
        if objective.loss == "kl-live" and not (policy.kind == "model" and policy.keep_policy):
            found = f"sft.arms.{name}: loss kl-live, while behave.{arm.data} has no model at hand"
            yield found, "use kl-stored, or another policy"


@rule("a selected style is one that the policy writes", why="no row would be left of it")
def selected_styles_are_written(study: Study) -> Broken:
    for name, arm, objective, policy in _joined_arms(study):
        wanted = objective.select.styles if objective.select and objective.select.kind == "style" else []
        written = list(policy.styles) if policy.kind == "scripted" else []
        for style in wanted:
            if style not in written:
                styles = ", ".join(written) or "none"
                yield (
                    f"sft.arms.{name}: select style {style}, while behave.{arm.data} writes {styles}",
                    "name one of those",
                )


@rule(
    "the policy that SFT learns from is a base",
    why="the checkpoint would have to exist before it is trained",
)
def nothing_feeds_itself(study: Study) -> Broken:
    for data in dict.fromkeys(arm.data for arm in study.sft.arms.values()):
        policy = study.behave.get(data)
        if policy and policy.model.startswith(("sft-", "rl-")):
            yield f"behave.{data}.model: {policy.model!r}, while sft.arms learn from {data!r}", "name a base-<name>"


@rule(
    "portable arithmetic is float32",
    why="in 16 bits libraries choose their code by the CPU in other places, and these were not tried",
)
def portable_is_float32(study: Study) -> Broken:
    if study.arithmetic == "portable" and study.loading.dtype != "float32":
        yield f"arithmetic: portable, loading.dtype: {study.loading.dtype}", "set arithmetic: fast, or dtype: float32"


@rule(
    "portable arithmetic is that of the static engine",
    why="the other two form batches by what is free and what has ended, so sums differ from run to run",
)
def portable_is_static(study: Study) -> Broken:
    asked = {"evaluate": study.evaluate.engine}
    for name, policy in study.behave.items():
        if policy.kind != "scripted":
            key = f"behave.{name}" if policy.kind == "given" else f"behave.{name}.sampling"
            asked[key] = policy.engine if policy.kind == "given" else policy.sampling.engine
    for name, author in study.recover.responses.items():
        if author.kind == "model":
            asked[f"recover.responses.{name}"] = author.engine
    for key, engine in asked.items():
        if study.arithmetic == "portable" and engine != "static":
            yield f"arithmetic: portable, {key}.engine: {engine}", "set arithmetic: fast, or engine: static"


@rule(
    "a policy's model holds its weights itself",
    why="LoRA's models are kept as an adapter beside another model, which the policy's stage would not wait for",
)
def policies_hold_their_weights(study: Study) -> Broken:
    adapters = runs.adapters(study, runs.unpruned(study))
    for name, policy in study.behave.items():
        if policy.model in adapters:
            fix = f"name {adapters[policy.model]}, or set lora: null where {policy.model} is trained"
            yield f"behave.{name}.model: {policy.model}, an adapter of {adapters[policy.model]}", fix


@rule("each shard has a batch of prompts", why="its stage would load a model to sample nothing")
def shards_have_prompts(study: Study) -> Broken:
    policies = [(f"behave.{name}", policy, policy.prompts) for name, policy in study.behave.items()]
    authors = [
        (f"recover.responses.{name}", own, study.recover.prompts) for name, own in study.recover.responses.items()
    ]
    for key, own, prompts in [*policies, *authors]:
        if (shards := getattr(own, "shards", 1)) == 1 or (rows := files.most_rows(study.data, prompts or "")) is None:
            continue
        size = getattr(own, "sampling", own).batch_size
        if (batches := -(-rows // size)) < shards:
            found = f"{key}.shards: {shards}, while {prompts} has {rows} prompts, {batches} batches of {size}"
            yield found, f"set shards to {max(1, batches)} or less, or lower batch_size"


# Pruning and recovery


@rule(
    "layers are chosen on worked responses, where answers to a task show work",
    why="a bare answer is nothing that the model writes, and layers that work chains out would look idle",
)
def calibration_is_worked(study: Study) -> Broken:
    if not (study.prune.of and study.prune.calibration and READING & set(study.prune.methods)):
        return
    made = _generated_set(study, study.prune.calibration.items)
    if made and made[1].style is None and _has_styles(made[1]):
        yield f"data.generate.{made[0]}.style: null, while prune.calibration names the set", _own_style(study)


@rule(
    "chains are put to a model in a style that it writes: one of its policy's, or of its pretraining's",
    why="in another style models miss steps that they can do, and layers are chosen on text that they never write",
)
def styles_are_those_that_models_write(study: Study) -> Broken:
    named = [("report.pruning.probe", _items_of(study, study.report.pruning.probe))]
    named += [("prune.calibration", study.prune.calibration.items if study.prune.calibration else None)]
    for key, path in named:
        made = _generated_set(study, path)
        if not (made and made[1].style and _has_styles(made[1])):
            continue
        for model, written in [(model, _written_styles(study, model)) for model in study.prune.of]:
            if written and made[1].style not in written:
                found = f"data.generate.{made[0]}.style: {made[1].style}, of {key}"
                yield f"{found}, while {model} writes {', '.join(written)}", _own_style(study)
                break  # one message for a set


@rule("recovery starts from a model that prune makes", why="there would be nothing to recover")
def recovery_has_its_pruned_models(study: Study) -> Broken:
    named = runs.replicates(runs.unpruned(study))
    pruned = runs.ratios(study.prune, named)
    lacking = [("of", name, study.prune.of) for name in study.recover.of if not {*named.get(name, [name])} <= {*pruned}]
    if study.recover.of:
        methods = study.prune.methods
        lacking += [("methods", method, methods) for method in study.recover.methods if method not in methods]
    for model, own in runs.ratios(study.recover, named).items():
        lacking += [("ratios", ratio, pruned[model]) for ratio in own if ratio not in pruned.get(model, [ratio])]
    for key, value, there in {(key, value, tuple(there)): None for key, value, there in lacking}:
        found = f"recover.{key}: {value!r}, while prune.{key} has {', '.join(map(str, there)) or 'nothing'}"
        yield found, f"add it to prune.{key}, or remove it here"


@rule("ratios by model are of each name in the block's `of`", why="a model without ratios would not be pruned")
def ratios_by_model_are_of_its_models(study: Study) -> Broken:
    for key, block in (("prune", study.prune), ("recover", study.recover)):
        if isinstance(block.ratios, dict):
            for name in sorted(block.ratios.keys() - set(block.of)):
                yield f"{key}.ratios.{name}, which is not in {key}.of", did_you_mean(name, block.of)
            for name in [name for name in block.of if not block.ratios.get(name)]:
                yield f"{key}.ratios has none for {name!r}", f"add {key}.ratios.{name}, or take it out of {key}.of"


@rule("an author is one of recover.responses", why="it says how the responses are made")
def authors_exist(study: Study) -> Broken:
    known = study.recover.responses
    named = [(f"recover.budgets.{name}.of", one) for name, budget in study.recover.budgets.items() for one in budget.of]
    named += [(f"recover.responses.{name}.of", one) for name, author in _mixtures(study) for one in author.of]
    for key, author in named:
        if author not in known:
            yield f"{key}: {author!r}", f"add recover.responses.{author}; {did_you_mean(author, known)}"


@rule(
    "a mixture is of two different authors who write themselves",
    why="each prompt's response is one of theirs",
)
def mixtures_have_two_authors(study: Study) -> Broken:
    mixtures = dict(_mixtures(study))
    for name, author in mixtures.items():
        if set(author.of) & mixtures.keys() or len(set(author.of)) < 2:
            yield f"recover.responses.{name}.of: {', '.join(author.of)}", "name two other authors"


@rule("author and budget together are one name, and no other pair's", why="two stages would write the same output")
def recovery_runs_differ_in_name(study: Study) -> Broken:
    pairs = [f"{author}-{name}" for name, budget in study.recover.budgets.items() for author in set(budget.of)]
    for pair in sorted({pair for pair in pairs if pairs.count(pair) > 1}):
        yield f"recover.budgets: {pair} is the name of two recoveries", "rename a budget"


@rule("greedy search scores its candidates on selection items", why="without them no layer is better than another")
def greedy_has_a_selection(study: Study) -> Broken:
    if _is_searched(study) and study.prune.selection is None:
        yield "prune.selection: null, while prune.methods has greedy", "fill prune.selection, or remove greedy"


@rule(
    "greedy search leaves two layers at least",
    why="it always keeps layer 0, and its last round needs a choice",
)
def greedy_has_a_choice(study: Study) -> Broken:
    for layers, ratio in _each_ratio(study) if _is_searched(study) else ():
        if whole_layers(ratio, layers) == layers - 1:
            found = f"prune.ratios: {ratio} of {layers} layers is {layers - 1} layers, while prune.methods has greedy"
            yield found, "lower the ratio, or remove greedy"


@rule(WHOLE_LAYERS, why=WHY_WHOLE)
def ratios_are_whole_layers(study: Study) -> Broken:
    for layers, ratio in _each_ratio(study):
        if whole_layers(ratio, layers) is None:
            yield f"prune.ratios: {ratio} of {layers} layers", nearest_ratio(ratio, layers)


@rule(
    "each ratio is another number of layers",
    why="two stages would make the same model, and one result would count twice",
)
def ratios_differ(study: Study) -> Broken:
    for layers, ratios in _depths_and_ratios(study):
        first: dict[int, int | float] = {}
        for ratio in ratios:
            count = whole_layers(ratio, layers)
            if count is not None and (other := first.setdefault(count, ratio)) != ratio:
                found = f"prune.ratios: {other} and {ratio} of {layers} layers are both {count} layers"
                yield found, "remove one of the two"


# Tasks and claims


@rule(
    "a suite is of models of this study: by name, base, sft, rl, prune, recover or skip for all of a kind, or all",
    why="nobody else can be asked",
)
def suites_are_of_models(study: Study) -> Broken:
    named = suites.known(*_subjects(study)) if study.evaluate.suites else {}
    for name, own in (study.evaluate.suites or {}).items():
        for word in own.of:
            if word not in named:
                yield f"evaluate.suites.{name}.of: {word!r}", did_you_mean(word, named)
            elif not named[word]:
                yield f"evaluate.suites.{name}.of: {word!r}, of which the study has none", "remove it"


@rule("each model is asked something", why="a model without scores costs its training, and says nothing")
def every_model_has_a_suite(study: Study) -> Broken:
    idle = [name for name, tasks in _asked(study).items() if not tasks]
    if idle:
        more = f" and {len(idle) - 1} more" if len(idle) > 1 else ""
        yield f"{idle[0]}{more}, in no suite of evaluate.suites", "name it, or its kind, under `of` of a suite"


@rule("a model is asked a task in one suite", why="it would be asked twice, and nobody knows which score counts")
def suites_of_a_model_differ(study: Study) -> Broken:
    first: dict[str, str] = {}
    for name, tasks in _asked(study).items():
        for task in tasks:
            if tasks.count(task) > 1:
                first.setdefault(task, name)
    for task, name in first.items():
        yield f"evaluate.suites: {name} is asked {task!r} by several suites", "leave the task, or the model, out of one"


@rule(
    "a pruned model is asked no more than the unpruned one that it comes from",
    why="its scores are compared with that one's, item by item",
)
def unpruned_models_are_asked_the_same(study: Study) -> Broken:
    asked, first = _asked(study), {}
    for name, unpruned in _unpruned_of(study).items() if asked else ():
        for task in asked[name]:
            if task not in asked[unpruned]:
                first.setdefault(task, (name, unpruned))
    for task, (name, unpruned) in first.items():
        yield f"evaluate.suites: {name} is asked {task!r}, and {unpruned} is not", f"ask {unpruned} too, or neither"


@rule("it is one of evaluate.tasks, of a fitting kind", why="the claims compare the two kinds of scoring")
def report_names_fitting_tasks(study: Study) -> Broken:
    kinds = {name: task.kind for name, task in study.evaluate.tasks.items()}
    written, chosen = ["generation", "summary", "lm-eval"], ["choice", "minimal-pair", "lm-eval"]
    named = [("report.generation", name, written) for name in study.report.generation]
    named += [("report.classification", name, chosen) for name in study.report.classification]
    pear = study.report.pear
    named += [("report.pear.task", pear.task, written)] if pear else []
    named += [(f"report.pear.{key}.task", other.task, written) for key, other in _other_families(pear)]
    named += [(f"report.pruning.{key}", name, [kind]) for key, name, kind in _pruning_tasks(study)]
    for key, name, fitting in named:
        if kinds.get(name) not in fitting:
            found = f"of kind {kinds[name]}" if name in kinds else "no task"
            fix = did_you_mean(name, [each for each in kinds if kinds[each] in fitting])
            yield f"{key}: {name!r}, {found}, where one of kind {' or '.join(fitting)} fits", fix


@rule(
    "a task of lm-eval names its data: data/eval/<name>, made by data.fetch.<name> of kind lm-eval-data; or own",
    why="evaluation has no network, and would end when all models are trained",
)
def named_tasks_have_their_data(study: Study) -> Broken:
    sources = study.data.fetch.items()
    folders = [str(paths.fetched(name, source.kind)) for name, source in sources if isinstance(source, NamedData)]
    for name, task in study.evaluate.tasks.items():
        if isinstance(task, NamedTask) and task.data not in (OWN, *folders):
            add = f"add data.fetch.<name>: {{kind: lm-eval-data, task: {task.task}}} and name its folder"
            fix = did_you_mean(task.data, folders) if task.data and folders else add
            yield f"evaluate.tasks.{name}.data: {task.data!r}", f"{fix}; or own, if it needs nothing from the hub"


@rule("report.scores names the metric of a task of kind lm-eval", why="those of other kinds have one score")
def scores_are_of_named_tasks(study: Study) -> Broken:
    named = [name for name, task in study.evaluate.tasks.items() if isinstance(task, NamedTask)]
    for name in study.report.scores:
        if name not in named:
            yield f"report.scores.{name}", did_you_mean(name, named, "remove it")


@rule(
    "a matched pair asks the same items after the same examples",
    why="L13 compares two ways of scoring, and nothing else may differ",
)
def matched_tasks_ask_the_same(study: Study) -> Broken:
    for pair in study.report.pruning.matched:
        choice, written = (study.evaluate.tasks.get(name) for name in (pair.choice, pair.generation))
        if not (isinstance(choice, ScoredTask) and isinstance(written, GenerationTask)):
            continue  # report_names_fitting_tasks reports it
        limits = [study.evaluate.limit_of(task) for task in (choice, written)]
        if (choice.items, choice.few_shot, limits[0]) != (written.items, written.few_shot, limits[1]):
            found = f"{pair.choice!r} and {pair.generation!r} differ in items, few_shot or limit"
            fix = f"give evaluate.tasks.{pair.generation} the items, few_shot and limit of {pair.choice}"
            yield f"report.pruning.matched: {found}", fix


@rule(
    "it is the data of arms that run, an objective of arms that run on that data, or a recipe",
    why="only what runs can be compared",
)
def pear_compares_what_runs(study: Study) -> Broken:
    if not (pear := study.report.pear):
        return
    unknown = {arm.data for arm in study.sft.arms.values()} - study.behave.keys()  # arms_exist reports it
    on_data = {arm.objective for arm in study.sft.arms.values() if arm.data in unknown | {pear.data}}
    named = [
        ("data", pear.data, {arm.data for arm in study.sft.arms.values()}),
        ("recipe", pear.recipe, study.rl.recipes),
        *((f"{key}.recipe", other.recipe, study.rl.recipes) for key, other in _other_families(pear)),
        *((key, name, on_data) for key, name in _pear_objectives(pear) if on_data),
    ]
    for key, name, known in named:
        if name not in known:
            yield f"report.pear.{key}: {name!r}", did_you_mean(name, known)


@rule(
    "a form is an objective with weights of kind pear, not shuffled",
    why="P5 says of PEAR's forms, and of nothing else, that each beats SFT",
)
def forms_are_pears(study: Study) -> Broken:
    for name, weights in _forms(study):
        if not (weights and weights.kind == "pear" and weights.shuffle is None):
            fix = "name PEAR's forms; rivals with a part of PEAR stand under report.pear.controls"
            yield f"report.pear.forms: {name!r}, whose weights are not PEAR's, or are shuffled", fix


@rule(
    "each form of PEAR stands once",
    why="P5 is tested when all three forms are there, so three objectives must be three forms",
)
def forms_differ(study: Study) -> Broken:
    found: dict[str, str] = {}
    for name, weights in _forms(study):
        if weights and weights.kind == "pear" and (other := found.setdefault(weights.form, name)) != name:
            yield f"report.pear.forms: {other!r} and {name!r} are both of form {weights.form}", "remove one of the two"


@rule(
    "plain SFT is loss nll without weights and on all rows, each time at another learning rate",
    why="P10 asks whether SFT at its best learning rate explains the gain, so the rate alone may differ",
)
def plain_differs_in_the_rate(study: Study) -> Broken:
    names = study.report.pear.plain if study.report.pear else []
    found: dict[float, str] = {}
    for name in names:
        if not (objective := study.sft.objectives.get(name)):
            continue  # pear_compares_what_runs reports it
        if not is_plain(objective):
            yield f"report.pear.plain: {name!r}, which is not plain SFT", "name it under report.pear.controls.others"
        elif (other := found.setdefault(objective.learning_rate, name)) != name:
            yield f"report.pear.plain: {other!r} and {name!r} have one learning rate", "remove one of the two"


@rule(
    "a control has the treatment's learning rate, and differs from it in what its key says",
    why="P10 tells apart what could explain the gain, and a control that differs in two things tells nothing of either",
)
def controls_control_one_thing(study: Study) -> Broken:
    pear = study.report.pear
    treatment = study.sft.objectives.get(pear.treatment) if pear else None
    if not treatment:
        return
    for key, fits, what in (
        ("scale", is_scale_control, "plain SFT or PEAR's weights with normalize: true"),
        ("last_tokens", is_last_tokens, "loss nll with weights of kind last-tokens"),
    ):
        objective = study.sft.objectives.get(getattr(pear.controls, key))
        if objective and not (fits(objective) and objective.learning_rate == treatment.learning_rate):
            found = f"report.pear.controls.{key}: {getattr(pear.controls, key)!r}"
            yield found, f"name an objective that is {what}, at learning_rate {treatment.learning_rate:g}"


@rule(
    "twins are two names under sft.objectives with the same settings",
    why="an A/A check asks whether two arms that are alike come out alike",
)
def twins_are_alike(study: Study) -> Broken:
    for one, other in _twins(study):
        if one == other or study.sft.objectives[one] != study.sft.objectives[other]:
            found = f"report.pear.twins: {one!r} and {other!r}, {'one name' if one == other else 'which differ'}"
            yield found, f"write the settings of {one!r} a second time under another name"


@rule(
    "the arms of twins differ in draw",
    why="with the same random choices they would be the same model twice, and differ by nothing at all",
)
def twins_differ_in_draw(study: Study) -> Broken:
    for one, other in _twins(study):
        alike = one != other and study.sft.objectives[one] == study.sft.objectives[other]
        if alike and (common := _draws_of(study, one) & _draws_of(study, other)):
            found = f"report.pear.twins: {one!r} and {other!r} both have draw {', '.join(map(str, sorted(common)))}"
            yield found, f"set draw: {max(common) + 1} in the arm of {other!r}"


# What the checks ask of a study


def is_plain(objective: Objective) -> bool:
    """Whether an objective is plain SFT."""
    return objective.loss == "nll" and objective.weights is None and objective.select is None


def is_scale_control(objective: Objective) -> bool:
    """Whether an objective differs from PEAR's in no more than the loss's scale, or has none of its weights."""
    weights = objective.weights
    return is_plain(objective) or (weights is not None and weights.kind == "pear" and weights.normalize)


def is_last_tokens(objective: Objective) -> bool:
    """Whether an objective has weight on the last tokens alone."""
    return objective.loss == "nll" and objective.weights is not None and objective.weights.kind == "last-tokens"


def _subjects(study: Study) -> tuple[dict, dict]:
    """All that is evaluated, by name, and the models that a name without a seed stands for."""
    expanded = runs.expand(study)
    return runs.subjects(study, expanded), runs.replicates(expanded)


def _asked(study: Study) -> dict[str, list[str]]:
    """The tasks that each model is asked; none are named where every model is asked all."""
    if study.evaluate.suites is None:
        return {}
    return suites.asked(study.evaluate, *_subjects(study))


def _unpruned_of(study: Study) -> dict[str, str]:
    """The unpruned model that each pruned or recovered one comes from, and each that lacks one layer."""
    expanded = runs.expand(study)
    found = {f"{kind}-{name}": run.of for kind in ("prune", "recover") for name, run in expanded[kind].items()}
    views = {name: run.model for name, run in runs.subjects(study, expanded).items() if run.layer is not None}
    return found | views


def _depths_and_ratios(study: Study) -> list[tuple[int, tuple[int | float, ...]]]:
    """The depth and the ratios of the models to prune; what several have in common stands once."""
    made = runs.unpruned(study)
    layers_of = runs.layers(made)
    of = runs.ratios(study.prune, runs.replicates(made))
    return list(dict.fromkeys((layers_of[name], tuple(own)) for name, own in of.items() if name in layers_of))


def _each_ratio(study: Study) -> list[tuple[int, int | float]]:
    """Each depth of a model to prune with each of its ratios."""
    return list(dict.fromkeys((layers, ratio) for layers, own in _depths_and_ratios(study) for ratio in own))


def _needing_whole_models(study: Study) -> Iterator[tuple[str, str, str]]:
    """The family of stages, the key and the setting of each training that needs the whole model in each process."""
    trainings = [("sft", "sft.trainer", study.sft.trainer), ("recover", "recover.trainer", study.recover.trainer)]
    trainings += [("rl", f"rl.recipes.{name}", recipe) for name, recipe in study.rl.recipes.items()]
    for family, key, training in trainings:
        if getattr(training, "four_bit", False):
            yield family, key, "four_bit: true (QLoRA)"
        elif training and training.lora:
            yield family, key, "an adapter (lora)"
        elif getattr(training, "rollouts", None) == "continuous":
            yield family, key, "rollouts: continuous"


def _groups(study: Study) -> Iterator[tuple[str, str, list[int]]]:
    """The key of each model of all layers, its name without a seed, and the seeds of its replicates."""
    for name, base in study.base.items():
        yield f"base.{name}", f"base-{name}", base.seeds if isinstance(base, Pretrained) else []
    for name, arm in study.sft.arms.items():
        seeds = [seed for seed, _ in runs.starts(arm.base, study.sft.seeds, study.base)]
        yield f"sft.arms.{name}", f"sft-{name}", seeds
        for recipe, arms in study.rl.arms.items():
            if arms == "all" or name in arms:
                yield f"rl.recipes.{recipe} from sft.arms.{name}", f"rl-{recipe}-{name}", seeds


def _is_searched(study: Study) -> bool:
    return bool(study.prune.of) and "greedy" in study.prune.methods


def _mixtures(study: Study) -> list[tuple]:
    return [(name, author) for name, author in study.recover.responses.items() if author.kind == "mixed"]


def _joined_arms(study: Study) -> Iterator[tuple]:
    """Each arm's name, the arm, its objective and its policy, where all are there."""
    for name, arm in study.sft.arms.items():
        objective, policy = study.sft.objectives.get(arm.objective), study.behave.get(arm.data)
        if objective and policy:
            yield name, arm, objective, policy


def _generated_set(study: Study, path: str | None) -> tuple[str, PromptSet] | None:
    """The name and the block of a generated set of own tasks, by its path."""
    for name, made in _own_sets(study):
        if isinstance(made, PromptSet) and str(paths.data_set(made.role, name)) == path:
            return name, made
    return None


def _items_of(study: Study, task: str | None) -> str | None:
    """The set of an evaluation task."""
    return getattr(study.evaluate.tasks.get(task), "items", None)


def _has_styles(made: PromptSet) -> bool:
    return any(generated.TASKS[task].styles for task in made.mix if task in generated.TASKS)


def _written_styles(study: Study, model: str) -> list[str]:
    """The styles that a model has learnt to write; none where nobody knows."""
    made = runs.unpruned(study)
    first = next(iter(runs.replicates(made).get(model, [])), "")
    start = made["rl"][first.removeprefix("rl-")].start if first.startswith("rl-") else first
    run = made["sft"].get(start.removeprefix("sft-"))
    objective, policy = (study.sft.objectives.get(run.objective), study.behave.get(run.data)) if run else (None, None)
    if policy and objective and objective.loss != "none":
        return list(getattr(policy, "styles", []))
    base = made["base"].get((run.base if run else start).removeprefix("base-"))
    source = getattr(base.settings, "source", None) if base else None
    for name, made in _own_sets(study):
        if isinstance(made, PretrainSet) and str(paths.data_set(made.role, name)) == source:
            return list(made.styles)
    return []


def _own_style(study: Study) -> str:
    written = dict.fromkeys(style for model in study.prune.of for style in _written_styles(study, model))
    readable = [style for style in written if style in calc.STEP_STYLES]
    return f"name one that the models write: {', '.join(readable)}" if readable else "name the style that they write"


def _own_sets(study: Study) -> list[tuple[str, PretrainSet | PromptSet]]:
    """The generated sets that are made of orchard's own tasks."""
    return [(name, made) for name, made in study.data.generate.items() if not isinstance(made, GameSet)]


def _game_sets(study: Study) -> dict[str, GameSet]:
    return {name: made for name, made in study.data.generate.items() if isinstance(made, GameSet)}


def _known_games(study: Study) -> Iterator[tuple[str, GameSet, list[str]]]:
    """The sets of games that exist, each with the options that its game knows."""
    sets = _game_sets(study)
    known = games.games() if sets else {}
    return ((name, played, known[played.game]) for name, played in sets.items() if played.game in known)


def _styles(study: Study) -> Iterator[tuple[str, str]]:
    """Each style that the study names, with its key."""
    for name, made in _own_sets(study):
        if isinstance(made, PretrainSet):
            yield from ((f"data.generate.{name}.styles", style) for style in made.styles)
        elif made.style:
            yield f"data.generate.{name}.style", made.style
    for name, policy in study.behave.items():
        if policy.kind == "scripted":
            yield from ((f"behave.{name}.styles", style) for style in policy.styles)
    for name, author in study.recover.responses.items():
        if author.kind == "style":
            yield f"recover.responses.{name}.style", author.style


def _pear_objectives(pear: Pear) -> Iterator[tuple[str, str]]:
    """Each objective that report.pear names, with its key there."""
    yield from (("baseline", pear.baseline), ("treatment", pear.treatment))
    yield from pear.rivals()
    for key in ("reversal", "forms"):
        yield from ((key, name) for name in getattr(pear, key))
    if pear.twins:
        yield from (("twins.one", pear.twins.one), ("twins.other", pear.twins.other))
    if pear.distillation:
        yield "distillation.baseline", pear.distillation.baseline
        yield "distillation.treatment", pear.distillation.treatment


def _forms(study: Study) -> list[tuple]:
    """The objectives of report.pear.forms that exist, each with its weights."""
    names = study.report.pear.forms if study.report.pear else []
    return [(name, study.sft.objectives[name].weights) for name in names if name in study.sft.objectives]


def _twins(study: Study) -> list[tuple[str, str]]:
    """The two objectives of the A/A check, if both exist."""
    twins = study.report.pear and study.report.pear.twins
    if not (twins and {twins.one, twins.other} <= study.sft.objectives.keys()):
        return []
    return [(twins.one, twins.other)]


def _draws_of(study: Study, objective: str) -> set[int]:
    """The draws of the arms of an objective on the data that PEAR's claims are about."""
    arms = [arm for arm in study.sft.arms.values() if arm.objective == objective]
    return {arm.draw for arm in arms if arm.data == study.report.pear.data}


def _other_families(pear: Pear | None) -> list[tuple[str, OtherFamily]]:
    """What report.pear names of other families of tasks, with its key there."""
    return [(key, other) for key in ("transfer", "games") if pear and (other := getattr(pear, key))]


def _pruning_tasks(study: Study) -> Iterator[tuple[str, str, str]]:
    """Each task that report.pruning names: its key there, its name, and the kind that it must be of."""
    pruning = study.report.pruning
    for key, kind in (("probe", "choice"), ("brackets", "generation")):
        if name := getattr(pruning, key):
            yield key, name, kind
    for number, pair in enumerate(pruning.matched):
        yield f"matched[{number}].choice", pair.choice, "choice"
        yield f"matched[{number}].generation", pair.generation, "generation"


def _value_at(study: Study, key: str):
    """The value of a dotted key, ``sft.arms``."""
    part, field = key.split(".")
    return getattr(getattr(study, part), field)
