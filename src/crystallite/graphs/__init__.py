"""Graphs: each crystal as nodes and weighted edges, reduced exactly, packed for compiled code, kept on disk.

It knows nothing of tensors and properties. Imports datasets, crystals and what is below them.

- reduction: `reduce_graph`, `full_graph`; atoms that no layer can tell apart become one node
- packed: `PackedGraphs`, `build_graphs`, `gather_batch`; the graphs of many crystals in flat arrays
- store: `dataset_graphs`; built once, shared by all runs, checked whenever they are read
"""
