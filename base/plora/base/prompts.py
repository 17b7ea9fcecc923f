"""The question format, and how a pair becomes token ids with the answer marked.

Rules:

- A pair reads `Question: …\\nAnswer: …` and ends with the end token. Only the answer's tokens (its leading blank and
  the end token among them) carry labels; the question's are `IGNORED`.
- The question is cut from its *left* when a pair is longer than `tokens_max`, so that the answer stays whole; an
  answer that alone is longer is cut at its end.

Not handled here: chat templates. All bases see the same plain format, so that numbers compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

IGNORED = -100
Pair = tuple[str, str]


@dataclass(frozen=True)
class EncodedPair:
    """Token ids of one pair and, of the same length, its labels."""

    ids: tuple[int, ...]
    labels: tuple[int, ...]


def question_prompt(question: str) -> str:
    """What stands before an answer.

    >>> question_prompt("What is 2 + 2?")
    'Question: What is 2 + 2?\\nAnswer:'
    """
    return f"Question: {question}\nAnswer:"


def encode_question(tokenizer: Any, question: str) -> list[int]:
    """The ids of what stands before an answer, open at their end."""
    ids = list(tokenizer(question_prompt(question))["input_ids"])
    if ids and ids[-1] == tokenizer.eos_token_id != tokenizer.bos_token_id:
        ids.pop()  # some tokenizers close every text
    return ids


def encode_pair(tokenizer: Any, question: str, answer: str, tokens_max: int = 128) -> EncodedPair:
    """Encode one pair with a transformers tokenizer; at most `tokens_max` ids."""
    end = tokenizer.eos_token_id
    before = encode_question(tokenizer, question)
    after = [*tokenizer(f" {answer}", add_special_tokens=False)["input_ids"], end][: tokens_max - 1]
    room = tokens_max - len(after)
    if len(before) > room:
        before = before[:1] + before[len(before) - room + 1 :]  # keeps the start token
    return EncodedPair((*before, *after), (*(IGNORED for _ in before), *after))


def pad_batch(pairs: Sequence[EncodedPair], pad_id: int) -> dict[str, Any]:
    """`input_ids`, `attention_mask` and `labels`, each an int64 tensor (len(pairs), longest), padded on the right."""
    import torch

    longest = max(len(pair.ids) for pair in pairs)
    gaps = [longest - len(pair.ids) for pair in pairs]
    rows = list(zip(pairs, gaps, strict=True))
    return {
        "input_ids": torch.tensor([[*pair.ids, *[pad_id] * gap] for pair, gap in rows]),
        "attention_mask": torch.tensor([[1] * len(pair.ids) + [0] * gap for pair, gap in rows]),
        "labels": torch.tensor([[*pair.labels, *[IGNORED] * gap] for pair, gap in rows]),
    }
