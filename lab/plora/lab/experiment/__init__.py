"""The experiment: the specification's nineteen steps as one command that can be stopped anywhere and goes on.

- `config`: what an experiment is. `steps`, `step`: its steps, with their inputs, outputs, settings. `checks`: what must
  be true of what they leave.
- `pipeline`: which steps have to run, by doit. `work`: doing one. `records`, `artifacts`, `provenance`: what is kept.
- `python -m plora.lab.experiment`: the command line (docs/experiment.md).

This package imports nothing.
"""
