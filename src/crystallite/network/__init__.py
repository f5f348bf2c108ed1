"""Network: from a batch of graphs to predictions, with gradients.

It knows nothing of files and datasets. Imports graphs, settings, computing and what is below them.

- model: `CrystalNetwork`, the article's network on weighted, reduced graphs
- convolution: the gated convolution as one differentiable operation
- kernels: its compiled loops
- batch_norm: `WeightedBatchNorm`; a batch's moments over rows with weights and over all processes
- batches: `Inputs`, `batch_inputs`, from rows of packed graphs to the inputs of a network
- targets: `Targets`; names, units and scale of what is predicted
"""
