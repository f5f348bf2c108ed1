"""Features: plain numbers that describe a crystal, for models that learn from few crystals.

Made of the composition, the cell and the exact graph; nothing here is learned. Imports graphs, crystals and
what is below them.

- statistics: `Grouping`; mean, deviation, minimum and maximum over the atoms of each crystal
- atoms: `atom_values`; what the bonds of an atom say of it
- descriptors: `DESCRIPTORS`, `descriptor_values`; all of them for many crystals
- tables: `descriptors`, as a pandas DataFrame; `describe_files`, from files to a file
- kernel_machine: `KernelMachine`; a model on them, and its evaluation
"""
