"""Reading: the structures, properties and tables in single files, one after another.

Imports no other room of sources.

- structure_files: `found_files`, which files a word means and the ids they give
- structures: `read_structures`, the structures of a file, whatever its format
- texts: `read_text`, the structures of a text that lies in no file
- frames: `each_frame`, the frames of extended XYZ as they stand there
- bundles: `each_member`, `read_member`; files with structures in a tar or zip file, read in place
- poscar, ase_formats, numpy_archive, pymatgen_json, optimade_entries, structure_shapes: one format each
- archive_stream: JSON and MessagePack piece by piece, bounded; archive_records, archive_table,
  archive_properties: what is in them
- tables, text_table, table_rows: tables of properties, their dialects and the places of their rows
- record: a crystal as it comes from a file; crystal_pile: `CrystalPile`, any number of them; collecting: them
  and their properties, gathered; known_properties: usual names and units
- input_file: what speaks against reading a file
"""
