"""Training: one network from a dataset to a run folder.

Read it in this order: train calls preparation, then one epoch of the trainer after the other, then
test_results.
Imports models, tracking, runs and what is below them.

- train: `train`, `train_as`, `resume`, `Run`
- run_settings: `run_config`; the settings of a run
- run_data: `run_dataset`; its values, weights and fingerprint
- run_split: `draw_split`; its split, drawn once and kept
- preparation: `prepare`; data, graphs, split, targets, network, each made from the ones before
- fine_tuning: starting from a trained model
- learner: `Learner`; what the next two share
- kernel_learner: `KernelLearner`; support vector machines on descriptors, the recipe small
- epoch_order: the order of the training crystals; shards where there are many
- trainer: `Trainer`; a step, an epoch, validation, and a state that can be saved
- recorded: `RecordedGradients`; a step's gradients on a GPU, by kernels launched all at once
- optimization: learning-rate schedule, loss, averaging
- optimizers: AdamW and SGD
- test_results: what is measured on the test set when a training run ends
- verification: `verify`; train a run again and compare, bit for bit
"""

from __future__ import annotations

from ..extras import needed

needed("torch", "training", "crystallite[train]")
