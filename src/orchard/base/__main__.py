"""Makes a base model: pretrained here, or loaded from a folder or a GGUF file.

python -m orchard.base NAME
"""

import sys

from orchard import stage


def main() -> None:
    name = sys.argv[1]
    settings = stage.params("base", name)
    stage.set_threads(settings["threads"])
    from orchard import card
    from orchard.base import load, pretrain  # late: the number of threads must be set before torch is imported

    target = f"results/models/base-{name}"
    with stage.output(target) as scratch:
        if settings["kind"] == "pretrain":
            with stage.resumable(target) as state:
                pretrain.pretrain(settings, scratch, state, stage.Progress(f"base@{name}", settings["steps"]))
        else:
            load.load(settings, scratch)
        stage.write_record(
            scratch, "base", settings, [settings["source"]], **card.lineage(made(settings), licence=settings["license"])
        )
        card.write(scratch, f"base-{name}")


def made(settings: dict) -> str:
    """How a base came to be, for its card."""
    if settings["kind"] == "pretrain":
        amount = f"{settings['steps']} steps of {settings['batch_size']} rows"
        return f"pretrained from random weights on {settings['source']}: {amount}"
    return f"loaded from {settings['source']} ({settings['kind']}) as float32"


if __name__ == "__main__":
    stage.run(main, parallel=True)
