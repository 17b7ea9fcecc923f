"""Can adapters diffuse through a swarm without a hub and stay safe? What decides, and the page that says so.

- `settings`: config/findings.yml. `runs`: the simulations that it asks for. `figures`: a number with its interval.
- `diffusion`, `safety`, `value`: what is counted. `rule`: whether each part of the rule holds.
- `document`: results/findings.json of all of it. `page`: docs/findings.md, whose tables are made from that alone.

    python -m plora.lab.findings
"""
