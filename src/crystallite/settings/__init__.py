"""Settings: what can be chosen for graphs, networks and training, and which choices have an effect.

A setting is declared, checked and documented here and nowhere else. Imports errors.

- config: `GraphConfig`, `ModelConfig`, `TrainConfig`; types, limits, and how they are written to TOML
- recipes: `configure`; the named recipes, and single settings over them
- effects: which settings change nothing beside others
"""
