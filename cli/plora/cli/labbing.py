"""`plora lab`: what whoever calibrates and measures does with adapters by the hundred. Needs the extra `lab`."""

from __future__ import annotations

from plora.cli import calibrating, finding, value_adding, zoo_keeping
from plora.cli.usage import App

app = App(help="Grow zoos, calibrate detectors, measure adapters.", no_args_is_help=True)
app.command()(zoo_keeping.zoo)
app.command()(calibrating.probes_calib)
app.command()(value_adding.value_add)
app.command()(finding.findings)
