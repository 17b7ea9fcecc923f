"""Making and measuring adapters: corpora, training, evaluation, the demo. Needs the extra `lab`.

- `load_domain`: question and answer pairs of a domain.
- `train_adapter`: a LoRA adapter of a domain, as a PEFT folder (`python -m plora.lab.train`).
- `evaluate`: perplexities with intervals, per adapter and domain (`python -m plora.lab.evaluate`).
- `plora.lab.zoo`: clean and poisoned adapters by the hundred (`python -m plora.lab.zoo`).
- `run_demo`: a swarm of real peers (`plora.lab.demo`).

The functions live in modules of these names; this package imports nothing, so that a module can set threads before
torch is imported.
"""
