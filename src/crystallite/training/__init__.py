"""Training: one network from a dataset to a run folder.

Read it in this order: train calls preparation, then an epoch of the trainer after another, then test_results.
Imports models, tracking, runs and what is below them.

- train: `train`, `resume`, `Run`
- preparation: `prepare`; settings, data, split, graphs, targets, network, each made from the ones before
- run_split: the split of a run, drawn once and kept
- fine_tuning: starting from a trained model
- trainer: `Trainer`; a step, an epoch, validation, and a state that can be saved
- optimization: optimiser, learning-rate schedule, loss, averaging
- test_results: what is measured on the test part when a training ends
- verification: `verify`; train a run again and compare, bit for bit
"""
