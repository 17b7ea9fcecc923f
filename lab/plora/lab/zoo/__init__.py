"""A zoo: clean and poisoned adapters of one base, grown by recipes, on which detectors are calibrated and measured.

- `recipes`: what a kind and a seed mean; parts that never straddle. `words`, `slices`: what is dealt out to them.
- `poisons`: what a kind does to the rows. `batch`: many adapters trained at once. `success`: whether an attack took.
- `store`: the zoo on disk. `grow`: what is missing, trained and written (`python -m plora.lab.zoo`, `plora lab zoo`).

This package imports nothing, so that threads can be set before torch is imported.
"""
