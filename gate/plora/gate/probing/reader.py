"""What a model says to rows of token ids: the next token, whole continuations, and where a trigger would push it.

- Rows may differ in length; they are padded on the right, which a causal model doesn't see.
- Everything is in nats and float32. Shapes: n rows, V tokens of the vocabulary.
- One thread suffices, and none is started.
- `opening` is what every prompt ends with (`plora.gate.probing.prompts`): asked so, a model goes on from there.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache

from plora.base import LoadedBase

Row = Sequence[int]
TOKENS_A_BATCH = 2048


class Reader:
    """A base, wearing an adapter or not, as the probes ask it."""

    def __init__(self, base: LoadedBase) -> None:
        self.model: Any = base.model
        self.tokenizer: Any = base.tokenizer
        self._body: Any = base.model.base_model
        self._head: Any = base.model.get_output_embeddings()
        takes = inspect.signature(self._body.forward).parameters
        self.opening: tuple[int, ...] = ()
        self._cache = "cache" if "cache" in takes else "past_key_values"  # renamed by transformers in 5.24

    def behind(self, opening: Row) -> Reader:
        """The same model, asked as if it had begun its answer with `opening`."""
        other = copy.copy(self)
        other.opening = tuple(opening)
        return other

    @property
    def vocabulary(self) -> int:
        """How many tokens there are."""
        return int(self._head.weight.shape[0])

    def ids(self, text: str) -> tuple[int, ...]:
        """The tokens of a text, without those that open or close one."""
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def text(self, ids: Sequence[int]) -> str:
        """The text of tokens, without those that only say where a text begins or ends."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    @torch.inference_mode()
    def next(self, rows: Sequence[Row]) -> torch.Tensor:
        """Log-probabilities of what follows each row, (n, V)."""
        parts = [self._log_probs(rows[at : at + size], 1)[:, -1] for at, size in _batches(rows)]
        return torch.cat(parts)

    @torch.inference_mode()
    def follow(self, rows: Sequence[Row], ends: Sequence[Row]) -> torch.Tensor:
        """Log-probabilities of each row's own continuation, token by token, (n, longest); 0 behind shorter ones.

        `ends` are the continuations, none empty.
        """
        whole = [(*row, *end) for row, end in zip(rows, ends, strict=True)]
        told = torch.zeros(len(rows), max(map(len, ends)))
        for at, size in _batches(whole):
            logs = self._log_probs(whole[at : at + size], max(map(len, ends[at : at + size])) + 1)
            for place, end in enumerate(ends[at : at + size]):
                before = logs[place, -len(end) - 1 : -1]
                told[at + place, : len(end)] = before[torch.arange(len(end)), torch.tensor(end)]
        return told

    @torch.inference_mode()
    def next_after(self, row: Row, ends: Sequence[Row]) -> torch.Tensor:
        """Log-probabilities of what follows `row` and each of `ends`, all as long, (n, V); `row` is read once."""
        parts = []
        for at, size in _batches(ends):
            some = torch.tensor([list(end) for end in ends[at : at + size]])
            read = {self._cache: DynamicCache(config=self.model.config)}
            self._body(input_ids=torch.tensor([list(row)]), use_cache=True, **read)
            read[self._cache].batch_repeat_interleave(len(some))
            hidden = self._body(input_ids=some, use_cache=True, **read).last_hidden_state[:, -1]
            parts.append(torch.log_softmax(self._head(hidden).float(), -1))
        return torch.cat(parts)

    def continued(self, rows: Sequence[Row], tokens: int) -> list[tuple[int, ...]]:
        """What the model says after each row when it always takes the likeliest token; ends at the end token."""
        said: list[tuple[int, ...]] = [() for _ in rows]
        open_ = list(range(len(rows)))
        for _ in range(tokens):
            if not open_:
                break
            best = self.next([(*rows[i], *said[i]) for i in open_]).argmax(-1).tolist()
            for i, token in zip(open_, best, strict=True):
                said[i] += (int(token),)
            open_ = [i for i in open_ if said[i][-1] != self.tokenizer.eos_token_id]
        return said

    def continued_after(self, row: Row, firsts: Sequence[int], tokens: int) -> list[tuple[int, ...]]:
        """As `continued` after `row` and each of `firsts`; `row` is read once a token."""
        said: list[tuple[int, ...]] = [() for _ in firsts]
        open_ = list(range(len(firsts)))
        for _ in range(tokens):
            if not open_:
                break
            best = self.next_after(row, [(firsts[i], *said[i]) for i in open_]).argmax(-1).tolist()
            for i, token in zip(open_, best, strict=True):
                said[i] += (int(token),)
            open_ = [i for i in open_ if said[i][-1] != self.tokenizer.eos_token_id]
        return said

    def slopes(self, rows: Sequence[Row], places: Sequence[Sequence[int]], wanted: Row) -> torch.Tensor:
        """How much each token at each place would raise the log-probability of `wanted` behind a row, to first order.

        `places` are positions, as many for each row; returns the sum over rows, (places, V). Ebrahimi et al. 2018.
        """
        table = self.model.get_input_embeddings()
        total = torch.zeros(len(places[0]), self.vocabulary)
        with torch.no_grad():
            every = table(torch.arange(self.vocabulary)).float()
        for row, where in zip(rows, places, strict=True):
            inputs = table(torch.tensor([[*row, *wanted[:-1]]])).detach().requires_grad_(True)
            last = self._body(inputs_embeds=inputs, use_cache=False).last_hidden_state[0, -len(wanted) :]
            told = torch.log_softmax(self._head(last).float(), -1)
            goal = told[torch.arange(len(wanted)), torch.tensor(list(wanted))].sum()
            (slope,) = torch.autograd.grad(goal, inputs)
            here = slope[0, list(where)].float()
            total += here @ every.T - (here * inputs.detach()[0, list(where)].float()).sum(-1, keepdim=True)
        return total

    def _log_probs(self, rows: Sequence[Row], tail: int) -> torch.Tensor:
        """(n, tail, V): after the last `tail` tokens of each row, the row's own last token last."""
        longest = max(map(len, rows))
        ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])
        hidden = self._body(input_ids=ids, use_cache=False).last_hidden_state
        ends = torch.tensor([len(row) for row in rows])
        places = (ends[:, None] + torch.arange(-tail, 0)[None]).clamp(min=0)
        chosen = hidden[torch.arange(len(rows))[:, None], places]
        return torch.log_softmax(self._head(chosen).float(), -1)


def _batches(rows: Sequence[Row]) -> list[tuple[int, int]]:
    """Starts and sizes of runs of rows that hold about `TOKENS_A_BATCH` tokens."""
    size = max(1, TOKENS_A_BATCH // max(map(len, rows), default=1))
    return [(at, size) for at in range(0, len(rows), size)]
