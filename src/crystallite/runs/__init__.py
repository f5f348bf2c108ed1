"""Runs: the folder of a training run.

Imports network, evaluation, settings and what is below them.

- names: of the files in it
- predictions: the table of true and predicted values
- folder: `RunConfig`; what is in the folder, and how it is written, locked and read
"""
