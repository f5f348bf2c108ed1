"""Experiments: several trainings that answer one question together.

Imports training and what is below it.

- kinds: starting an experiment, and going on with one
- cross_validation, ensembles, learning_curve: one experiment each
- run_group: their runs, in folders below one folder
- side_by_side: runs in processes of their own
"""
