"""Datasets: crystals with ids and properties in one Arrow table, and Parquet files of them.

It reads no foreign format (that is sources) and builds no graph. Imports crystals, settings and what is
below them.

- dataset: `Dataset`, `iter_batches`
- rows: `selected_rows`; what `Dataset.select` takes
- frames: the crystals in a pandas DataFrame
- builtin: the three sets that come with the package
- schema: the columns of the table, and the check of a table read from anywhere
- columns: what the cells of a column of text are
- parquet: reading and writing the table, with checksums; parquet_paths: where there is one
- mapped: a dataset larger than memory, its crystals in mapped files
- selection: parts of a dataset by ids and values
- overview: what `data info` tells
"""
