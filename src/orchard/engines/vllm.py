"""The vLLM engine: a server on this machine, in an environment of its own, that lives as long as the stage.

vLLM pins other versions of torch and transformers than `requirements.lock`. So it is installed apart (`make vllm`), and
is spoken to as any server of completions is: over HTTP, on the loopback device, with token ids both ways.
"""

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
import torch
from transformers import GenerationConfig
from urllib3.util import Retry

from orchard import paths, processes
from orchard.engines.engine import Engine, Generated, Pair, Scored, Way
from orchard.errors import UserError
from orchard.models import checkpoint, folders, loading, prompts
from orchard.models.seeds import seed_of

ENVIRONMENT = "ORCHARD_VLLM"  # names another environment with vLLM than DEFAULT
DEFAULT = Path(".venv-vllm")  # what `make vllm` makes
STARTS_WITHIN = 900  # seconds: ours; weights of 16 GB over a network and the compilation of a GPU's code take minutes
LOOKS = 0.5  # seconds between two looks whether it answers: ours
AT_ONCE = 256  # requests that wait at the server: as many as vLLM runs side by side by default (max_num_seqs)
TRIES = 4  # of a request whose connection broke: ours
TOP = 64  # likely tokens that may be asked for at each place: ours; vLLM's default is 20
NAME = "model"  # what requests call it


class Vllm(Engine):
    """A model that a server of vLLM runs.

    Each response has a seed of its own, so that equal prompts get other responses.

    Args:
        folder: of the model, with weights.
        url: of the server.
        key: that it asks for.
        log: its log, for messages.
    """

    def __init__(self, folder: Path, url: str, key: str, log: Path):
        tokenizer = folders.load_tokenizer(folder)
        settings = folder / "generation_config.json"
        own = GenerationConfig.from_pretrained(folder) if settings.is_file() else GenerationConfig()
        self.url, self.log = url, log
        self.session = requests.Session()
        self.session.trust_env = False  # no proxy stands between two processes of one machine
        self.session.headers["Authorization"] = f"Bearer {key}"
        # A server closes what was idle for seconds. Whatever is asked again has the same seed, so the same answer.
        again = Retry(total=TRIES, allowed_methods=None, backoff_factor=0.2)
        self.session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=AT_ONCE, max_retries=again))
        (model,) = self._get("v1/models")["data"]
        super().__init__(tokenizer, prompts.named_ends(own, tokenizer), model["max_model_len"])
        self.version = f"vllm {self._get('version')['version']}"

    def _generate(self, rows: list[list[int]], way: Way) -> Iterator[Generated]:
        asked = {
            "max_tokens": way.max_new_tokens,
            "temperature": way.temperature,
            "top_p": way.top_p,
            "top_k": way.top_k,
            "stop": list(way.stop),
            "stop_token_ids": sorted(way.ends),
            "logprobs": way.told,
        }
        requests = (
            asked | {"prompt": row, "seed": seed_of("vllm", way.seed, place)}
            for place, row in enumerate(rows, way.first)
        )
        for choice in self._answers(requests):
            yield Generated(choice["token_ids"], *_logps(choice["logprobs"], way.told))

    def _score(self, pairs: list[Pair], batch_size: int | None) -> list[Scored]:
        asked = {"max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0}
        answers = self._answers(asked | {"prompt": [*before, *after]} for before, after in pairs)
        return [_scored(choice["prompt_logprobs"], after) for choice, (_, after) in zip(answers, pairs, strict=True)]

    def _answers(self, asked: Iterator[dict]) -> Iterator[dict]:
        """The first choice of each completion, in order; many are asked for at once."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for found in pool.map(self._complete, asked):
                yield found["choices"][0]

    def _complete(self, asked: dict) -> dict:
        whole = asked | {"model": NAME, "return_token_ids": True, "return_tokens_as_token_ids": True}
        return self._checked(self.session.post(f"{self.url}/v1/completions", json=whole))

    def _get(self, what: str) -> dict:
        return self._checked(self.session.get(f"{self.url}/{what}", timeout=60))

    def _checked(self, answer: requests.Response) -> dict:
        if not answer.ok:
            raise RuntimeError(f"vLLM answers {answer.status_code} ({self.log} has more): {answer.text[:300]}")
        return answer.json()


def _logps(told: dict | None, count: int | None) -> tuple[list, list, list]:
    """What a completion says of its tokens: their log-probs, the likeliest tokens at each place, and theirs."""
    if told is None:
        return [], [], []
    best = [sorted(place.items(), key=lambda each: -each[1])[:count] for place in told["top_logprobs"]]
    ids = [[int(token.removeprefix("token_id:")) for token, _ in place] for place in best]
    return told["token_logprobs"], ids, [[logp for _, logp in place] for place in best]


def _scored(told: list[dict | None], tokens: list[int]) -> Scored:
    """What a completion says of the last tokens of its prompt."""
    found = [place[str(token)] for place, token in zip(told[-len(tokens) :], tokens, strict=True)]
    return Scored([each["logprob"] for each in found], all(each["rank"] == 1 for each in found))


# The server


@contextlib.contextmanager
def serving(folder: Path, name: str) -> Iterator[Vllm]:
    """A model that a server of its own runs for the time of the block.

    Args:
        folder: of the model, with weights.
        name: of the stage, which names the log.

    Raises:
        UserError: vLLM's environment is not made, the model is unfit, or the server does not start.
    """
    python = interpreter()
    checkpoint.refuse_unfit(folder)
    log, key, port = paths.LOGS / "engines" / f"{name}.log", secrets.token_hex(16), _free_port()
    log.parent.mkdir(parents=True, exist_ok=True)
    url = f"http://127.0.0.1:{port}"
    keeper = [sys.executable, "-m", "orchard.engines.keeper", *command(python, folder, port)]
    with open(log, "w") as opened:
        process = subprocess.Popen(
            keeper, stdin=subprocess.PIPE, stdout=opened, stderr=opened, env=_surroundings(python, key)
        )
    try:
        _wait(process, url, log)
        yield Vllm(folder, url, key, log)
    finally:
        process.stdin.close()
        process.wait()


def interpreter() -> Path:
    """The Python of the environment that has vLLM.

    Raises:
        UserError: there is none.
    """
    environment = Path(os.environ.get(ENVIRONMENT) or DEFAULT)
    if not is_installed(environment):
        raise UserError(
            found=f"engine: vllm, and no vLLM in {environment}",
            rule="vLLM is installed in an environment of its own",
            why="it needs other versions of torch and transformers than requirements.lock",
            fix=f"`make vllm`, or name an environment that has it in {ENVIRONMENT}; or set engine: static",
        )
    return environment.absolute() / "bin" / "python"


def is_installed(environment: Path) -> bool:
    """Whether an environment of Python has vLLM, under any of the names of its packages."""
    return any(environment.glob("lib/python*/site-packages/vllm/__init__.py"))


def command(python: Path, folder: Path, port: int) -> list[str]:
    """How the server is started."""
    asked = loading.settings()
    options = {
        "model": folder.absolute(),
        "host": "127.0.0.1",
        "port": port,
        "served-model-name": NAME,
        "dtype": asked.dtype,
        "max-model-len": asked.max_length,
        "gpu-memory-utilization": asked.memory,
        "tensor-parallel-size": processes.count(),
        "max-logprobs": TOP,
        "generation-config": "vllm",  # nothing of the checkpoint's settings
        "seed": 0,  # of what no request's seed decides
    }
    said = [f"--{name}={value}" for name, value in options.items() if value is not None]
    server = [str(python), "-m", "vllm.entrypoints.openai.api_server", *said]
    return server if torch.cuda.is_available() else [*server, "--enforce-eager"]  # compiled code of CPUs: not tried


def _surroundings(python: Path, key: str) -> dict[str, str]:
    """The environment variables of the server: its own programs, no network, nothing told to anybody."""
    return os.environ | {
        "PATH": os.pathsep.join([str(python.parent), os.environ.get("PATH", "")]),
        "VLLM_API_KEY": key,
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # a job may have other cores than the first
        "HF_HUB_OFFLINE": "1",
    }


def _free_port() -> int:
    """A port that nobody listens at. Whoever takes it meanwhile does not know the key."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _wait(process: subprocess.Popen, url: str, log: Path) -> None:
    """Waits until the server answers.

    Raises:
        UserError: it ended, or does not answer in time.
    """
    until = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < until:
        if process.poll() is not None:
            raise _does_not_start("it ended", log)
        with contextlib.suppress(requests.ConnectionError), requests.Session() as session:
            session.trust_env = False
            if session.get(f"{url}/health", timeout=LOOKS * 10).ok:
                return
        time.sleep(LOOKS)
    raise _does_not_start(f"no answer within {STARTS_WITHIN} s", log)


def _does_not_start(what: str, log: Path) -> UserError:
    errors = [line for line in log.read_text(errors="replace").splitlines() if "Error" in line]
    reason = f": {errors[-1].strip()[-300:]}" if errors else ""
    return UserError(
        found=f"vLLM does not start ({what}){reason}",
        rule="the stage starts a server of vLLM, which loads the model",
        why="it is what writes and scores",
        fix=f"read {log}; it may lack memory (loading.memory, loading.max_length), or not know the architecture",
    )
