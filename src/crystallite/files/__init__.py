"""Files: writing that loses nothing, and the formats that several rooms write or read by hand.

It knows nothing of crystals. Imports errors and extras.

- writing: `atomic_path`, `atomic_folder`, `write_text`, `write_json`, `read_json`, `output_path`; what may be
  read and written where
- archives: `tar_writer`, `tar_gz_writer`, `zip_writer`; any number of small files in one
- csv_tables: `write_csv`, `row_writer`; tables that spreadsheets open without running what is in them
- typed_tables: `Column`, `table_writer`; tables with units, written row by row
- html_tables: `html_table`; what notebooks show
- array_folder: `written_once`, `ArrayWriter`, `read_arrays`; arrays larger than memory
- distinct_names: `DistinctNames`; names of files or crystals, no two alike
- failures: `may_pass`, `stops`; errors of disks and networks
- caching: `cache_folder`; where what can be made again is kept
- npy: `read_header` of a .npy file, without making its array
"""
