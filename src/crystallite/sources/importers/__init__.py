"""Importers: whole datasets from foreign files and folders, bad crystals listed.

Imports reading; formats.py lists them all.

- import_settings: `ImportSettings`; what every importer is told
- assembling: `Imported`, `assemble`; what every importer ends with
- kept_reads: what has been read of many files, so that an interrupted import resumes
- folder: the published CGCNN layout, or CIFs and POSCARs with a table
- archives: JSON and MessagePack archives; numpy_archive: .npz; ase_formats: databases and extended XYZ
"""
