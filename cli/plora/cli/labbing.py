"""`plora lab`: what whoever calibrates and measures does with adapters by the hundred. Needs the extra `lab`."""

from __future__ import annotations

from plora.cli import calibrating, zoo_keeping
from plora.cli.usage import App

app = App(help="Grow zoos of adapters, and calibrate detectors on them.", no_args_is_help=True)
app.command()(zoo_keeping.zoo)
app.command()(calibrating.probes_calib)
