"""Crystals: elements, lattice, coordinates, the CIFs they come from and the bonds between their atoms.

It knows nothing of properties and datasets. Imports settings, computing, files and errors.

- crystal: `Crystal`, `CrystalArrays`, `as_crystal`, `check_crystal`; what every crystal has to fulfil
- elements: symbols, atomic numbers, and the 92-long description of each element
- element_properties: `element_properties`; a number for each property of each chemical element
- cif: `read_cif`, `read_cifs`; from the text of a CIF to the atoms of the whole cell
- neighbors: `find_bonds`, the nearest neighbours of each atom, ties shared fairly
- orientation: how the bonds of an atom are arranged around it, order parameters
- overlaps: atoms too close to one another
- primitive: `primitive_cells`; atoms of the primitive cell, and edges of the reduced one
- notices: what is odd about a file but no error
"""
