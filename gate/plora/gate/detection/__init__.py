"""Detection: statistics of an adapter's weights, and the calibration by which they and the probes' figures are judged.

Without torch; numpy is imported where something is computed.

- `plora.gate.detection.calibration`: one JSON file a base, and what it says of one adapter's figures.
- `plora.gate.detection.detectors`: scores as plain numbers, fitted elsewhere.
- `plora.gate.detection.conformal`: p-values against a bank of scores.
"""
