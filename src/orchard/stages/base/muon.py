"""Muon (Jordan et al. 2024) for the matrices of the layers, Adam for the rest, as one optimizer.

torch.optim.Muon runs its iteration in bfloat16, which CPUs without AVX-512 emulate at a crawl; here it runs in float32,
for all matrices of one shape at once.
"""

import torch

# The coefficients, iterations and momentum of Jordan et al. 2024, kellerjordan.github.io/posts/muon
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
MOMENTUM = 0.95


class Muon(torch.optim.Optimizer):
    """Nesterov momentum whose update is made orthogonal, by shape; vectors and embeddings get Adam.

    Args:
        model: its two-dimensional layer parameters go to Muon, all others to Adam.
        learning_rate: step size of the matrices.
        adam_learning_rate: step size of the rest.
        adam_betas: moments of the rest.
    """

    def __init__(
        self, model: torch.nn.Module, learning_rate: float, adam_learning_rate: float, adam_betas: tuple[float, float]
    ):
        named = list(model.named_parameters())
        matrices = [p for name, p in named if p.ndim == 2 and ".layers." in name]
        rest = [p for name, p in named if not (p.ndim == 2 and ".layers." in name)]
        groups = [
            {"params": matrices, "lr": learning_rate, "matrices": True},
            {"params": rest, "lr": adam_learning_rate, "matrices": False},
        ]
        super().__init__(groups, {"betas": adam_betas, "eps": 1e-8})

    @torch.no_grad()
    def step(self, closure=None):
        loss = closure() if closure else None
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if group["matrices"]:
                self._step_matrices(parameters, group["lr"])
            else:
                self._step_rest(parameters, group)
        return loss

    def _step_matrices(self, parameters, lr: float) -> None:
        by_shape = {}
        for parameter in parameters:
            momentum = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
            momentum.lerp_(parameter.grad, 1 - MOMENTUM)
            update = parameter.grad.lerp(momentum, MOMENTUM)
            by_shape.setdefault(parameter.shape, []).append((parameter, update))
        for shape, pairs in by_shape.items():
            updates = orthogonal(torch.stack([update for _, update in pairs]))
            scale = max(1.0, shape[0] / shape[1]) ** 0.5
            for (parameter, _), update in zip(pairs, updates, strict=True):
                parameter.add_(update, alpha=-lr * scale)

    def _step_rest(self, parameters, group: dict) -> None:
        (beta1, beta2), eps = group["betas"], group["eps"]
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                state.update(step=0, mean=torch.zeros_like(parameter), square=torch.zeros_like(parameter))
            state["step"] += 1
            state["mean"].lerp_(parameter.grad, 1 - beta1)
            state["square"].lerp_(parameter.grad.square(), 1 - beta2)
            mean = state["mean"] / (1 - beta1 ** state["step"])
            root = (state["square"] / (1 - beta2 ** state["step"])).sqrt()
            parameter.sub_(group["lr"] * mean / (root + eps))


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """Roughly the nearest semi-orthogonal matrix of each (batch, rows, columns): singular values near 1."""
    a, b, c = NEWTON_SCHULZ
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x
