"""What a calibration aims at: false alarms and misses, as a configuration file gives them.

Rules:

- The file is strict YAML; a field that isn't known, or a value that means nothing, is refused with its place.
- What it leaves out is as in `config/detection.yml`, which holds the defaults.

Not handled here: how aims become thresholds (`plora.lab.probe_fit`, `plora.lab.detection_fit`).

>>> Aims().figures["clean_delta"]
'lower'
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from plora.proto.errors import ConfigError, FormatError
from plora.proto.payload import StrictModel, field_error
from plora.proto.strict_yaml import parse_yaml

AIMS_BYTES_MAX = 1 << 16

Side = Literal["higher", "lower"]
Share = Annotated[float, Field(gt=0, lt=1)]


class Aims(StrictModel):
    """See `config/detection.yml` for what each field means."""

    alpha: Share = 0.005
    false_alarms: Share = 0.005
    misses: Share = 0.1
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    figures: Annotated[Mapping[str, Side], Field(min_length=1)] = {
        "trigger_compliance": "higher",
        "clean_delta": "lower",
        "margin_delta": "lower",
    }


def read_aims(path: Path) -> Aims:
    """The aims in a file. Raises ConfigError with the file and the field."""
    try:
        return Aims.model_validate(parse_yaml(path.read_bytes(), AIMS_BYTES_MAX).tree)
    except OSError as error:
        raise ConfigError(f"can't be read ({error.strerror})", where=str(path)) from error
    except ValidationError as error:
        fault = field_error(error, FormatError)
        raise ConfigError(fault.what, where=f"{path}, {fault.where}", mend="see config/detection.yml") from error
    except FormatError as error:
        raise ConfigError(error.what, where=f"{path}, {error.where}", mend="see config/detection.yml") from error
