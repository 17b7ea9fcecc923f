"""Question and answer pairs against which a merge is tuned: the loss, and what autograd says about it.

Rules:

- The loss is the mean negative log-likelihood of an answer's tokens given its question, in nats a token, as in
  `plora.base.scoring`; smaller is better.
- Gradients are taken with respect to what is asked for alone: no `.grad` of the model is touched.
- The model is left in evaluation mode.

Not handled: which pairs to take. Needs the extra `lab`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from plora.base.prompts import IGNORED, Pair, encode_pair, pad_batch
from plora.base.scoring import answer_nll
from plora.proto.errors import UsageError

BATCH = 8
TOKENS_MAX = 128


@dataclass(frozen=True, slots=True)
class DevSet:
    """Pairs (question, answer), with the model and tokenizer that read them. Raises UsageError where there are none."""

    model: Any
    tokenizer: Any
    pairs: Sequence[Pair]

    def __post_init__(self) -> None:
        if not self.pairs:
            raise UsageError("no question and answer pairs to tune on", mend="give some that training didn't see")

    def loss(self) -> float:
        """The model's loss as it is, adapters that are on it included."""
        scores = answer_nll(self.model, self.tokenizer, self.pairs, batch=BATCH, tokens_max=TOKENS_MAX)
        return float(scores.nll.sum() / scores.tokens.sum())

    def slope(self, times: Any) -> float:
        """The loss' derivative with respect to a torch scalar that the model's output depends on."""
        import torch

        self.model.eval()
        total, tokens = 0.0, 0
        for inputs, labels in self.batches():
            [gradient] = torch.autograd.grad(summed_nll(self.model, inputs, labels), [times])
            total += float(gradient)
            tokens += int((labels != IGNORED).sum())
        return total / tokens

    def batches(self) -> Iterator[tuple[dict[str, Any], Any]]:
        """Model inputs and labels (batch, tokens), on the model's device; equal lengths share a batch."""
        encoded = [encode_pair(self.tokenizer, *pair, TOKENS_MAX) for pair in self.pairs]
        encoded.sort(key=lambda each: len(each.ids))
        for start in range(0, len(encoded), BATCH):
            batch = pad_batch(encoded[start : start + BATCH], self.tokenizer.pad_token_id)
            inputs = {name: tensor.to(self.model.device) for name, tensor in batch.items()}
            yield inputs, inputs.pop("labels")


def summed_nll(model: Any, inputs: dict[str, Any], labels: Any) -> Any:
    """The negative log-likelihood of all labelled tokens of a batch, a torch scalar in nats."""
    import torch

    logits = model(**inputs).logits[:, :-1].flatten(0, 1).float()
    wanted = labels[:, 1:].flatten()
    return torch.nn.functional.cross_entropy(logits, wanted, ignore_index=IGNORED, reduction="sum")
