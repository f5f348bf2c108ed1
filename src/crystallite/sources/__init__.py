"""Sources: where crystals and properties come from, and where they go: foreign files and web services.

Everything becomes a `Dataset`, or crystals one after another, and bad crystals are gathered and named.
Nothing here knows networks. Imports materials, graphs, datasets and what is below them.

- candidates: `write_candidates`; crystals made from all crystals of some inputs by substitution and strain
- streaming: `streamed`, `read_crystals`, `write_table`; all crystals of some inputs, their graphs, a table
- pieces: `each_piece`; inputs cut into pieces for other processes
- piece_reading: `read_piece`; the crystals in them
- remote: `remote_source`; files in object storage and on servers
- resolver: `read_dataset`, `located`; what a word that names data stands for
- formats: `import_dataset`, `ImportSettings`, `export_dataset`; every format in one table each
- web: services and published files; imports importers and reading
- importers, exporters: whole datasets from and to foreign formats; they import reading
- reading: single files: structures, archives, tables
"""
