"""Makes a base model: pretrained here, or loaded from a folder or a GGUF file.

python -m orchard.base NAME
"""

import sys

from orchard import stage


def main() -> None:
    name = sys.argv[1]
    settings = stage.params("base", name)
    stage.set_threads(settings["threads"])
    from orchard.base import load, pretrain  # late: the number of threads must be set before torch is imported

    target = f"results/models/base-{name}"
    with stage.output(target) as scratch:
        if settings["kind"] == "pretrain":
            with stage.resumable(target) as state:
                pretrain.pretrain(settings, scratch, state, stage.Progress(f"base@{name}", settings["steps"]))
        else:
            load.load(settings, scratch)
        stage.write_record(scratch, "base", settings, [settings["source"]])


if __name__ == "__main__":
    stage.run(main)
