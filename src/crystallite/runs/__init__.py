"""Runs: the folder of a training run.

Imports network, evaluation, settings and what is below them.

- folder: `RunConfig`; what is in the folder, and how it is written, locked and read
"""
