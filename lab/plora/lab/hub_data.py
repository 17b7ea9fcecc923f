"""Question and answer pairs of a dataset of the hub, or of files, in the place of what a domain has of its own.

    PLORA_DATASETS=datasets.yml plora train --domain medical

    # datasets.yml
    arithmetic:
      dataset: openai/gsm8k
      name: main
      question: "{question}"
      answer: "{answer}"
      pick: "#### (.+)$"

Rules:

- `dataset` is ORG/NAME of the hub, a folder of files, or one file (.parquet, .json, .jsonl, .csv). `question` and
  `answer` are texts with the names of columns in braces; of the answer only what the first group of `pick` matches is
  taken, where there is one. Rows that lack a column's value, or that `pick` doesn't match, are left out.
- All rows of `split` are read, `rows_max` at most; which of them are for training and which for tests decides the
  question alone (`plora.lab.corpora`).
- The library `datasets` (extra `hub`) is imported when a dataset is asked for. It fetches, caches, and honours
  `HF_TOKEN`, `HF_HUB_OFFLINE` and `HF_HOME`; a dataset's code is never run.

Not handled here: datasets whose rows aren't one question and one short answer.

>>> one = HubSource(dataset="x.csv", question="What is {a}?", answer="{b}", pick="= (.+)")
>>> list(drawn([{"a": 1, "b": "so = 2"}, {"a": None, "b": "3"}, {"a": 4, "b": "5"}], one))
[('What is 1?', '2', 'x.csv')]
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from string import Formatter
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from plora.proto.errors import ConfigError, FormatError, PloraError
from plora.proto.payload import StrictModel
from plora.proto.strict_yaml import parse_yaml

VARIABLE = "PLORA_DATASETS"
FILE_BYTES_MAX = 1 << 16
KINDS = {".parquet": "parquet", ".json": "json", ".jsonl": "json", ".csv": "csv"}


class HubSource(StrictModel):
    """Where a domain's pairs come from; see the rules. `revision` is a commit, branch or tag of the hub."""

    dataset: Annotated[str, Field(min_length=1)]
    name: str = ""
    revision: str = ""
    split: str = "train"
    question: str
    answer: str
    pick: str = ""
    rows_max: Annotated[int, Field(ge=1)] = 200_000


def source_of(domain: str, environ: Mapping[str, str]) -> HubSource | None:
    """What the file of `PLORA_DATASETS` says of a domain; None for nothing. ConfigError for a file that is wrong."""
    if not environ.get(VARIABLE):
        return None
    path = Path(environ[VARIABLE])
    try:
        tree = parse_yaml(path.read_bytes(), FILE_BYTES_MAX).tree
        return TypeAdapter(dict[str, HubSource]).validate_python(tree).get(domain)
    except OSError as error:
        raise ConfigError(f"can't be read ({error.strerror})", where=str(path), mend=f"set {VARIABLE}") from error
    except FormatError as error:
        raise ConfigError(error.what, where=f"{path}, {error.where}", mend="see docs/data.md") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigError(first["msg"], where=f"{path}, {place}", mend="see docs/data.md") from error


def read_pairs(source: HubSource, environ: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Question, answer and source of the rows of a dataset. Raises PloraError with what to do."""
    return list(drawn(_rows(source, environ), source))


def drawn(rows: Iterable[Mapping[str, Any]], source: HubSource) -> Iterator[tuple[str, str, str]]:
    """The pairs of rows, in their order. Raises ConfigError for a column that isn't there."""
    for row in rows:
        question, answer = _filled(source.question, row), _picked(_filled(source.answer, row), source.pick)
        if question and answer:
            yield question, answer, source.dataset


def _filled(text: str, row: Mapping[str, Any]) -> str:
    """The text with the row's values; "" where one is missing."""
    columns = [name for _, name, _, _ in Formatter().parse(text) if name is not None]
    unknown = [name for name in columns if name not in row]
    if unknown:
        mend = f"it has {', '.join(sorted(row))}"
        raise ConfigError(f"the dataset has no column {unknown[0]!r}", where=repr(text), mend=mend)
    return "" if any(row[name] is None for name in columns) else text.format_map(row)


def _picked(answer: str, pattern: str) -> str:
    if not pattern:
        return answer
    found = re.search(pattern, answer)
    return found[1] if found else ""


def _rows(source: HubSource, environ: Mapping[str, str]) -> Iterable[Mapping[str, Any]]:
    try:
        from datasets import load_dataset
    except ImportError as error:
        mend = "pip install 'plora[hub]'"
        raise PloraError("reading a dataset needs the extra 'hub'", where=source.dataset, mend=mend) from error
    options = {"split": source.split, "cache_dir": environ.get("HF_DATASETS_CACHE") or None}
    try:
        found = load_dataset(*_place(source), token=environ.get("HF_TOKEN") or None, **_files(source), **options)
    except Exception as error:
        raise explain(error, source) from error
    rows: Iterable[Mapping[str, Any]] = found.select(range(min(len(found), source.rows_max)))
    return rows


def _place(source: HubSource) -> tuple[str, ...]:
    """What `load_dataset` calls it: the builder of a file's kind, else the dataset and its configuration."""
    kind = KINDS.get(Path(source.dataset).suffix)
    return (kind,) if kind else (source.dataset, *((source.name,) if source.name else ()))


def _files(source: HubSource) -> dict[str, Any]:
    if Path(source.dataset).suffix in KINDS:
        return {"data_files": {source.split: source.dataset}}
    return {"revision": source.revision} if source.revision else {}


def explain(error: Exception, source: HubSource) -> PloraError:
    """The one line that says what `error`, met while loading a dataset, means."""
    first = str(error).strip().splitlines()[:1]
    name = type(error).__name__
    if isinstance(error, ConnectionError) or name in ("OfflineModeIsEnabled", "LocalEntryNotFoundError"):
        what = "the hub can't be reached and the dataset is not in the cache"
        mend = f"on line: hf download --repo-type dataset {source.dataset}; or unset {VARIABLE}"
    elif name == "GatedRepoError":
        what, mend = "the hub asks for its terms to be accepted", "accept them on its page, and set HF_TOKEN"
    elif name in ("DatasetNotFoundError", "DataFilesNotFoundError") or isinstance(error, FileNotFoundError):
        what, mend = "there is no such dataset, or it is private", "check the name; set HF_TOKEN"
    else:
        what, mend = f"it can't be loaded ({name}: {''.join(first)})", f"check {VARIABLE}"
    return PloraError(what, where=source.dataset, mend=mend)
