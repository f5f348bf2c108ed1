"""Materials: which crystals are one material, and what follows from that for splits and comparisons.

Imports graphs, datasets, evaluation and what is below them; nothing of networks.

- signatures: what tells materials apart
- groups: which crystals are the same material, however they are written down
- splits: training, validation and test sets that never share a material
- audit: what is in a dataset or a list more than once
- difference: two datasets compared
"""
