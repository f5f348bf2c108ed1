"""Materials: which crystals are one material, what follows from that for splits and comparisons, and
candidates for new ones.

Imports graphs, datasets, evaluation and what is below them; nothing of networks.

- signatures: what tells materials apart
- groups: which crystals are the same material, however they are written down
- keys: `material_keys`; numbers to look up materials by, among millions
- splits: training, validation and test sets that never share a material
- audit: what is in a dataset or a list more than once
- difference: two datasets compared
- substitution: `candidates`; crystals made from a known one by replacing elements, and strain
- similarity: `nearest`, `can_balance`; which elements replace each other
"""
