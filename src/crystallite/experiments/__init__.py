"""Experiments: several training runs that answer one question together.

Imports training and what is below it.

- experiment: `cross_validate`, `train_ensemble`, `learning_curve`, `resume`; starting and resuming them
- cross_validation, ensembles, learning_curve: one experiment each
- automatic: the recipe auto; a network, a kernel machine or their mean, by the validation error
- run_group: their runs, in folders below one folder
- side_by_side: runs in processes of their own
"""

from __future__ import annotations

from ..extras import needed

needed("torch", "training", "crystallite[train]")
