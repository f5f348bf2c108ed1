"""Exporters: datasets into foreign files and folders.

Imports reading; formats.py lists them all.

- crystal_writers: `crystal_writer`; any number of crystals, one after another
- published_layout: the folder of CIFs and id_prop.csv of the published code
- archives: JSON and MessagePack; ase_formats: databases and extended XYZ
"""
