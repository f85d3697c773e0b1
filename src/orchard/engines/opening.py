"""A model of the study, opened in the engine that the config names."""

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path

from orchard.engines.continuous import Continuous
from orchard.engines.engine import Engine
from orchard.engines.static import Static
from orchard.engines.vllm import serving
from orchard.models import folders, surgery, whole
from orchard.study.schema.common import EngineName

IN_THIS_PROCESS = {"static": Static, "continuous": Continuous}


@contextlib.contextmanager
def opened(engine: EngineName, folder: Path, stage: str, dropped: Collection[int] = ()) -> Iterator[Engine]:
    """A model for the time of the block.

    Args:
        engine: what runs it.
        folder: of the model.
        stage: its name, for logs: ``behave@teacher``.
        dropped: layers that are left out.

    Raises:
        UserError: the engine is not installed or does not start, or the model's layers cannot be dropped.
    """
    if engine == "vllm":  # it reads a folder: of an adapter or a view one is written for the time being
        with whole.written(folder, dropped) as plain, serving(plain, stage) as found:
            yield found
        return
    model, tokenizer = folders.load_frozen(folder), folders.load_tokenizer(folder)
    if dropped:
        surgery.check(model)
    with surgery.without(model, dropped) if dropped else contextlib.nullcontext(model) as view:
        yield IN_THIS_PROCESS[engine](view, tokenizer)
