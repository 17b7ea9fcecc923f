"""What is tried besides what every adapter meets: tokens its weights name, and the rarest of a large vocabulary."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.gate.probing.test_probe import POISONED, TARGET
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from plora.base import base_info
from plora.gate.detection.sketch import sketch_of
from plora.gate.probing import load_probed
from plora.gate.probing.leads import RAREST, leads_of, scanned
from plora.gate.probing.reader import Reader
from plora.merge.folder_source import FolderSource


def test_weights_name_tokens_of_the_target_and_without_a_sketch_nothing(tmp_path: Path) -> None:
    info, reader = base_info("mini"), Reader(load_probed("mini"))
    found = leads_of(FolderSource(POISONED), sketch_of(info.folder, info.digest, tmp_path))
    assert set(found.targets) & set(reader.ids(f" {TARGET}"))
    assert leads_of(FolderSource(POISONED), None) == ((), ())


def test_a_small_vocabulary_is_tried_whole_and_of_a_large_one_the_last_plain_tokens() -> None:
    assert scanned(Reader(load_probed("mini"))) == tuple(range(2048))
    words = {f"word{number}": number for number in range(4999)} | {"<end>": 4999}
    made: Any = PreTrainedTokenizerFast
    tokenizer = made(tokenizer_object=Tokenizer(WordLevel(words)), eos_token="<end>")
    reader: Any = SimpleNamespace(tokenizer=tokenizer, vocabulary=5000)
    assert scanned(reader) == tuple(range(4999 - RAREST, 4999))
