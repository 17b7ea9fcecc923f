"""Many adapters trained at once on one frozen base: one forward pass for all, each with its own data and recipe.

Rules:

- A *learner* is one adapter. A *slot* is a set of rows a step that sees the base plus a weighted sum of learners: one
  learner at weight 1, or several at 1/K each, which is what a merge by default weights does. A slot may hold some of
  its learners still in some layers; then its rows teach them nothing there.
- Every slot's loss is the mean over its answers' tokens, as peft and transformers compute it for a batch of its rows;
  gradients never cross between learners that share no slot. So each learner becomes what it becomes alone, up to
  rounding (Hu et al. 2021 for LoRA; the arithmetic is `torch.bmm` over learners).
- A is drawn as PEFT draws it, from the learner's seed and the module's name alone; B starts at zero. AdamW without
  decay; gradients are clipped to norm 1 by learner; warm-up and fall as in `plora.lab.train`.
- Ranks and targets differ by learner: factors are padded by zeros, whose gradients are zero.
- The base that is given is given back as it was, whatever happens.

Not handled here: what the rows are (`plora.lab.zoo.poisons`), several bases, dropout.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from plora.base import LoadedBase
from plora.base.prompts import IGNORED, EncodedPair, pad_batch
from plora.lab.train import rate_share
from plora.merge.factors import FactorPair

Factors = Mapping[str, FactorPair]
Rows = Callable[[int], Sequence[EncodedPair]]
BETAS, EPSILON, CLIP_NORM = (0.9, 0.999), 1e-8, 1.0


@dataclass(frozen=True)
class Learner:
    """One adapter to be trained, or one that is there and stays as it is.

    Attributes:
        rank, scale: of its factors; the update is scale × B @ A.
        targets: last components of its modules' names (`q_proj`).
        rate, steps, seed: peak learning rate, how many steps, and what A is drawn from.
        start: factors to begin with, by module name; the same scale.
        still: whether it is not trained at all (a partner in a merge).
        components: how many leading components learn; all of them by default.
    """

    rank: int
    scale: float
    targets: tuple[str, ...]
    rate: float = 0.0
    steps: int = 0
    seed: int = 0
    start: Factors = field(default_factory=dict)
    still: bool = False
    components: int | None = None


@dataclass(frozen=True)
class Slot:
    """Rows that see a weighted sum of learners.

    Attributes:
        members, weights: places in the list of learners, and their weights.
        rows: the encoded pairs of a step; every slot of a batch has equally many. None for a slot that is measured.
        still_in: for a member (by its place in `members`), whether it learns nothing here in a layer of this number.
        importance: what its loss is multiplied by.
    """

    members: tuple[int, ...]
    weights: tuple[float, ...]
    rows: Rows = lambda step: ()
    still_in: Callable[[int, int], bool] | None = None
    importance: float = 1.0


class _Stacked(torch.nn.Module):
    """A linear layer of the base plus, for each slot, its learners' low-rank updates."""

    def __init__(self, linear: Any, a: Tensor, b: Tensor, places: Tensor, weights: Tensor, still: Tensor) -> None:
        super().__init__()
        self.linear, self.a, self.b = linear, a, b
        self._places, self._weights, self._still = places, weights, still

    def forward(self, x: Tensor) -> Tensor:
        """Rows (slots × n, tokens, in) to (slots × n, tokens, out)."""
        y: Tensor = self.linear(x)
        shape, rows = y.shape, x.reshape(len(self._places), -1, x.shape[-1])
        summed = y.reshape(*rows.shape[:2], -1)
        for turn in range(self._places.shape[1]):
            a, b = self._taken(self.a, turn), self._taken(self.b, turn)
            b = b * self._weights[:, turn, None, None]
            summed = torch.baddbmm(summed, torch.bmm(rows, a.mT.to(x.dtype)), b.mT.to(x.dtype))
        return summed.reshape(shape)

    def _taken(self, factors: Tensor, turn: int) -> Tensor:
        taken = factors[self._places[:, turn]]
        still = self._still[:, turn]
        return torch.where(still[:, None, None], taken.detach(), taken) if still.any() else taken


def modules_of(model: Any, targets: Sequence[str]) -> list[str]:
    """Names of the model's linear layers that end in one of `targets`, in the model's order."""
    named = ((name, module) for name, module in model.named_modules() if isinstance(module, torch.nn.Linear))
    return [name for name, _ in named if name.rpartition(".")[2] in targets]


def layer_of(module: str) -> int:
    """The number of the layer that a module belongs to.

    >>> layer_of("model.layers.3.mlp.up_proj")
    3
    """
    return next(int(part) for part in module.split(".") if part.isdecimal())


class Batch:
    """Learners on a base, stacked module by module: what `train` trains and `on` puts on."""

    def __init__(self, base: LoadedBase, learners: Sequence[Learner]) -> None:
        self._base, self.learners = base, tuple(learners)
        targets = sorted({target for learner in learners for target in learner.targets})
        self._linears = {name: base.model.get_submodule(name) for name in modules_of(base.model, targets)}
        rank = max(learner.rank for learner in learners)
        self.factors = {name: self._begun(name, linear, rank) for name, linear in self._linears.items()}
        self._scales = torch.tensor([learner.scale for learner in learners])

    def _begun(self, name: str, linear: Any, rank: int) -> tuple[Tensor, Tensor]:
        a = torch.zeros(len(self.learners), rank, linear.in_features)
        b = torch.zeros(len(self.learners), linear.out_features, rank)
        for place, learner in enumerate(self.learners):
            if learner.start:
                _copy(learner.start.get(name), a[place], b[place])
            elif name.rpartition(".")[2] in learner.targets:
                a[place, : learner.rank] = drawn(learner, name, linear.in_features)
        return a.requires_grad_(), b.requires_grad_()

    def factors_of(self, place: int) -> dict[str, FactorPair]:
        """What a learner is now: module name to float32 factors, padding cut off."""
        learner = self.learners[place]
        pairs = {}
        for name, (a, b) in self.factors.items():
            if name.rpartition(".")[2] in learner.targets:
                cut_a, cut_b = a[place, : learner.rank], b[place, :, : learner.rank]
                pairs[name] = FactorPair(_copied(cut_a), _copied(cut_b), learner.scale)
        return pairs

    @contextmanager
    def on(self, slots: Sequence[Slot]) -> Iterator[None]:
        """The base with the learners on it, as the slots mix them."""
        places, weights = self._mix(slots)
        kept = [weight for weight in self._base.model.parameters() if weight.requires_grad]
        try:
            for weight in kept:
                weight.requires_grad_(False)
            for name, linear in self._linears.items():
                still = _still(slots, places.shape[1], layer_of(name))
                _put(self._base.model, name, _Stacked(linear, *self.factors[name], places, weights, still))
            yield
        finally:
            for name, linear in self._linears.items():
                _put(self._base.model, name, linear)
            for weight in kept:
                weight.requires_grad_(True)

    def _mix(self, slots: Sequence[Slot]) -> tuple[Tensor, Tensor]:
        turns = max(len(slot.members) for slot in slots)
        places = torch.zeros(len(slots), turns, dtype=torch.long)
        weights = torch.zeros(len(slots), turns)
        for row, slot in enumerate(slots):
            count = len(slot.members)
            places[row, :count] = torch.tensor(slot.members)
            weights[row, :count] = torch.tensor(slot.weights) * self._scales[list(slot.members)]
        return places, weights

    def train(
        self,
        slots: Sequence[Slot],
        progress: Callable[[int, int], None] = lambda step, steps: None,
        constrain: Callable[[int], None] = lambda step: None,
    ) -> None:
        """Train all learners for as many steps as each asks for.

        Args:
            slots: where the losses come from.
            progress: told (step, steps) after each.
            constrain: called after each step; may change `factors` in place.
        """
        steps = max(learner.steps for learner in self.learners)
        optimizer = _Adam(self.learners, [part for pair in self.factors.values() for part in pair])
        importance = torch.tensor([slot.importance for slot in slots])
        with self.on(slots):
            for step in range(steps):
                chosen = pad_batch(
                    [row for slot in slots for row in slot.rows(step)], self._base.tokenizer.pad_token_id
                )
                loss = (importance * slot_losses(self._base.model, chosen, len(slots))).sum()
                optimizer.step(step, torch.autograd.grad(loss, optimizer.weights))
                constrain(step)
                progress(step + 1, steps)


class _Adam:
    """Adam over weights whose first axis is the learner; rates, ends and clipping by learner."""

    def __init__(self, learners: Sequence[Learner], weights: list[Tensor]) -> None:
        self._learners, self.weights = learners, weights
        self._means = [torch.zeros_like(weight) for weight in weights]
        self._squares = [torch.zeros_like(weight) for weight in weights]
        self._open = [_open(learners, weight, side) for weight, side in zip(weights, _sides(weights), strict=True)]

    @torch.no_grad()
    def step(self, step: int, gradients: Sequence[Tensor]) -> None:
        """One step, the first being 0."""
        gradients = [gradient * mask for gradient, mask in zip(gradients, self._open, strict=True)]
        norm = torch.stack([gradient.square().sum((1, 2)) for gradient in gradients]).sum(0).sqrt()
        share = (CLIP_NORM / (norm + 1e-6)).clamp(max=1.0)[:, None, None]
        rates = torch.tensor([_rate(learner, step) for learner in self._learners])[:, None, None]
        for weight, gradient, mean, square in zip(self.weights, gradients, self._means, self._squares, strict=True):
            gradient = gradient * share
            mean.mul_(BETAS[0]).add_(gradient, alpha=1 - BETAS[0])
            square.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
            spread = (square / (1 - BETAS[1] ** (step + 1))).sqrt().add_(EPSILON)
            weight.sub_(rates * (mean / (1 - BETAS[0] ** (step + 1))) / spread)


def slot_losses(model: Any, batch: Mapping[str, Tensor], slots: int) -> Tensor:
    """The mean negative log-likelihood of the answers' tokens of each slot's rows, shape (slots,)."""
    summed, tokens = row_losses(model, batch)
    return summed.reshape(slots, -1).sum(1) / tokens.reshape(slots, -1).sum(1)


def row_losses(model: Any, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Of each row the summed negative log-likelihood of its answer's tokens, and how many those are; shapes (n,)."""
    logits, labels, owners = answer_logits(model, batch)
    losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    rows = len(batch["input_ids"])
    zeros = torch.zeros(rows, dtype=losses.dtype)
    return zeros.index_add(0, owners, losses), zeros.index_add(0, owners, torch.ones_like(losses))


def answer_logits(model: Any, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Logits at the answers' tokens alone (the head costs most elsewhere), their labels, and the row of each."""
    hidden = model.model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    labels = batch["labels"][:, 1:]
    asked = labels != IGNORED
    owners = torch.arange(len(labels))[:, None].expand_as(labels)[asked]
    return model.lm_head(hidden[:, :-1][asked]).float(), labels[asked], owners


def drawn(learner: Learner, module: str, in_features: int) -> Tensor:
    """A as PEFT draws it: uniform within ±1/√in (Kaiming with a = √5)."""
    seed = int.from_bytes(hashlib.sha256(f"{learner.seed}/{module}".encode()).digest()[:8], "big") >> 1
    noise = torch.rand(learner.rank, in_features, generator=torch.Generator().manual_seed(seed))
    return (noise * 2 - 1) / math.sqrt(in_features)


def _rate(learner: Learner, step: int) -> float:
    if learner.still or step >= learner.steps:
        return 0.0
    return learner.rate * rate_share(step, learner.steps)


def _copy(pair: FactorPair | None, a: Tensor, b: Tensor) -> None:
    if pair is not None:
        a[: pair.rank] = torch.tensor(pair.A)
        b[:, : pair.rank] = torch.tensor(pair.B)


def _copied(part: Tensor) -> Any:
    return part.detach().numpy().copy()


def _put(model: Any, name: str, module: Any) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)


def _still(slots: Sequence[Slot], turns: int, layer: int) -> Tensor:
    still = torch.zeros(len(slots), turns, dtype=torch.bool)
    for row, slot in enumerate(slots):
        for turn in range(len(slot.members)):
            still[row, turn] = slot.still_in is not None and slot.still_in(turn, layer)
    return still


def _sides(weights: Sequence[Tensor]) -> list[str]:
    return ["A", "B"] * (len(weights) // 2)


def _open(learners: Sequence[Learner], weight: Tensor, side: str) -> Tensor:
    """1 where a weight learns: not for those that are still, and of some only the leading components."""
    rank = weight.shape[1] if side == "A" else weight.shape[2]
    counts = [0 if one.still else one.rank if one.components is None else one.components for one in learners]
    mask = (torch.arange(rank)[None] < torch.tensor(counts)[:, None]).to(weight.dtype)
    return mask[:, :, None] if side == "A" else mask[:, None, :]
