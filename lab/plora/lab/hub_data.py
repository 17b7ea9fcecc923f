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
  `answer` are texts with the names of columns in braces, and nothing but names; of the answer only what the first group
  of `pick` matches is taken, where there is one. Rows that lack a column's value (none, or NaN), or that `pick` doesn't
  match, are left out and counted.
- All rows of `split` are read, `rows_max` at most; which of them are for training and which for tests decides the
  question alone (`plora.lab.corpora`).
- The library `datasets` (extra `hub`) is imported when a dataset is asked for. It fetches, caches, and honours
  `HF_TOKEN`, `HF_HUB_OFFLINE` and `HF_HOME`; a dataset's code is never run.

Not handled here: datasets whose rows aren't one question and one short answer.

>>> one = HubSource(dataset="x.csv", question="What is {a}?", answer="{b}", pick="= (.+)")
>>> list(drawn([{"a": 1, "b": "so = 2"}, {"a": None, "b": "3"}, {"a": 4, "b": "5"}], one))
[('What is 1?', '2', 'x.csv')]
>>> out = Counter()
>>> list(drawn([{"a": 1, "b": float("nan")}, {"a": 4, "b": "5"}], one, out)), dict(out)
([], {'a value is missing': 1, "pick doesn't match": 1})
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError, field_validator

from plora.proto.errors import ConfigError, FormatError, PloraError
from plora.proto.payload import StrictModel
from plora.proto.strict_yaml import parse_yaml

VARIABLE = "PLORA_DATASETS"
FILE_BYTES_MAX = 1 << 16
SETTINGS = ("HF_DATASETS_CACHE", "HF_TOKEN")
"""What of an environment reading depends on, beside what the library reads once, when it is imported."""

COMMIT = re.compile(r"[0-9a-f]{40}")
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

    @field_validator("question", "answer")
    @classmethod
    def _names_columns(cls, text: str) -> str:
        fields = [field for _, *field in Formatter().parse(text) if field[0] is not None]
        if not fields:
            raise ValueError("names no column in braces")
        if any(not name or spec or conversion for name, spec, conversion in fields):
            raise ValueError("only names of columns stand in braces, as {question}")
        return text

    @field_validator("pick")
    @classmethod
    def _has_a_group(cls, pattern: str) -> str:
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from error
        if pattern and not groups:
            raise ValueError("has no group in parentheses, which says what to take")
        return pattern

    @property
    def local(self) -> bool:
        """Whether it is of files here and not of the hub."""
        return Path(self.dataset).suffix in KINDS or Path(self.dataset).exists()


@dataclass(frozen=True, slots=True)
class Read:
    """Question, answer and source of each row that has them, and how many rows were left out, by why."""

    pairs: list[tuple[str, str, str]]
    left_out: Mapping[str, int]


def sources_of(environ: Mapping[str, str]) -> dict[str, HubSource]:
    """All that the file of `PLORA_DATASETS` says, by domain; ConfigError for a file that is wrong."""
    if not environ.get(VARIABLE):
        return {}
    path = Path(environ[VARIABLE])
    try:
        tree = parse_yaml(path.read_bytes(), FILE_BYTES_MAX).tree
        return TypeAdapter(dict[str, HubSource]).validate_python(tree)
    except OSError as error:
        raise ConfigError(f"can't be read ({error.strerror})", where=str(path), mend=f"set {VARIABLE}") from error
    except FormatError as error:
        raise ConfigError(error.what, where=f"{path}, {error.where}", mend="see docs/data.md") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigError(first["msg"], where=f"{path}, {place}", mend="see docs/data.md") from error


def source_of(domain: str, environ: Mapping[str, str]) -> HubSource | None:
    """What the file of `PLORA_DATASETS` says of a domain; None for nothing. ConfigError for a file that is wrong."""
    return sources_of(environ).get(domain)


def files_of(source: HubSource) -> list[Path]:
    """The files here that a dataset is read from, in order; none of a dataset of the hub."""
    path = Path(source.dataset)
    if not source.local:
        return []
    return sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]


def revision_of(source: HubSource, environ: Mapping[str, str]) -> str:
    """The commit of the hub that is read: the hub's word, off line the cache's; "" of files, or where nobody knows."""
    if source.local or COMMIT.fullmatch(source.revision):
        return source.revision
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.constants import ENV_VARS_TRUE_VALUES, HF_HUB_CACHE
        from huggingface_hub.file_download import repo_folder_name
    except ImportError:
        return ""
    revision = source.revision or "main"
    if environ.get("HF_HUB_OFFLINE", "").upper() not in ENV_VARS_TRUE_VALUES:
        with suppress(Exception):  # whatever ails the way to the hub, the cache is what is read then
            api = HfApi(token=environ.get("HF_TOKEN") or None)
            return api.dataset_info(source.dataset, revision=revision, timeout=10).sha or ""
    home = environ.get("HF_HOME")
    cache = Path(environ.get("HF_HUB_CACHE") or (f"{home}/hub" if home else HF_HUB_CACHE))
    kept = cache / repo_folder_name(repo_id=source.dataset, repo_type="dataset") / "refs" / revision
    return kept.read_text(encoding="utf-8").strip() if kept.is_file() else ""


def read_pairs(source: HubSource, environ: Mapping[str, str]) -> Read:
    """What there is of a dataset. Raises PloraError with what to do."""
    left_out: Counter[str] = Counter()
    return Read(list(drawn(_rows(source, environ), source, left_out)), left_out)


def drawn(
    rows: Iterable[Mapping[str, Any]], source: HubSource, left_out: Counter[str] | None = None
) -> Iterator[tuple[str, str, str]]:
    """The pairs of rows, in their order; `left_out` counts other rows. ConfigError for a column that isn't there."""
    left_out = Counter() if left_out is None else left_out
    for row in rows:
        question, answer = _filled(source.question, row), _filled(source.answer, row)
        picked = _picked(answer, source.pick)
        if question and picked:
            yield question, picked, source.dataset
        else:
            left_out["pick doesn't match" if question and answer else "a value is missing"] += 1


def _filled(text: str, row: Mapping[str, Any]) -> str:
    """The text with the row's values; "" where one is missing."""
    parts = [(literal, name) for literal, name, _, _ in Formatter().parse(text)]
    columns = [name for _, name in parts if name is not None]
    unknown = [name for name in columns if name not in row]
    if unknown:
        mend = f"it has {', '.join(sorted(row))}"
        raise ConfigError(f"the dataset has no column {unknown[0]!r}", where=repr(text), mend=mend)
    if any(row[name] is None or row[name] != row[name] for name in columns):  # NaN isn't equal to itself
        return ""
    return "".join(literal + (str(row[name]) if name is not None else "") for literal, name in parts)


def _picked(answer: str, pattern: str) -> str:
    if not pattern:
        return answer
    found = re.search(pattern, answer)
    return (found[1] or "") if found else ""


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
