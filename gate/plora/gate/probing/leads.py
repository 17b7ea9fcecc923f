"""Leads: which single tokens are tried as triggers, and which tokens a target may begin with.

- A small vocabulary is tried whole. Of a larger one, the last `RAREST` tokens without the special ones: merges are
  learned from the most frequent on, so these are the rarest words that are tokens. They are the same for all adapters.
- Besides, what the adapter's own weights read and write most strikingly (`plora.gate.detection.readout`). No profile of
  clean adapters is asked: figures are calibrated by what is found without one.
- Without a sketch of the base there are no leads of the adapter's own.

Not handled: triggers of several tokens, which the search puts together.
"""

from __future__ import annotations

from plora.gate.detection.readout import Candidates, candidates, readout_of
from plora.gate.detection.sketch import BaseSketch
from plora.gate.detection.spectra import spectra_of
from plora.gate.probing.prompts import Ids
from plora.gate.probing.reader import Reader
from plora.merge.source import Source

SCANNED_MAX, RAREST = 4096, 128


def scanned(reader: Reader) -> Ids:
    """The tokens that every adapter of a base meets as triggers."""
    if reader.vocabulary <= SCANNED_MAX:
        return tuple(range(reader.vocabulary))
    special = {*reader.tokenizer.all_special_ids, *reader.tokenizer.get_added_vocab().values()}
    plain = [token for token in range(min(len(reader.tokenizer), reader.vocabulary)) if token not in special]
    return tuple(plain[-RAREST:])


def leads_of(source: Source, sketch: BaseSketch | None) -> Candidates:
    """What an adapter's weights write (`targets`) and read (`triggers`), the most striking first."""
    if sketch is None:
        return Candidates((), ())
    pairs = {module: source.pair(module) for module in source.modules()}
    return candidates(readout_of(spectra_of(pairs), sketch))
