"""Network: from a batch of graphs to predictions, with gradients.

It knows nothing of files and datasets. Imports graphs, settings, computing and what is below them. What
predictions on the CPU need (evaluation, its loops, weights, targets) imports no PyTorch.

- evaluation, evaluation_kernels: `EvaluationNetwork`; the forward pass of predictions, and its loops
- weights: `weight_shapes`, `checked_weights`; names and shapes of a network's arrays
- model: `CrystalNetwork`; embedding, convolutions, pooling on weighted, reduced graphs
- convolutions: its layers `GatedConvolution`, `PlainConvolution`, `EdgeUpdatingConvolution`
- layers: `fused_layers`; all layers of a network as one differentiable operation, on the CPU
- gated_layer, edge_layer: the two kinds of layer; edge_states: `first_states`, which the latter begin with
- gated_kernels, edge_kernels, node_kernels, message_kernels, norm_kernels, kernels: compiled loops of these
- products: `add_product`; products of matrices in compiled loops
- bonds: `prepare_bonds`; what the loops need of a batch, made once for all layers
- batch_norm: `WeightedBatchNorm`; a batch's moments over rows with weights and over all processes
- batches: `Inputs`, `batch_inputs`, from rows of packed graphs to the inputs of a network
- resident: `ResidentGraphs`; packed graphs in the memory of a GPU, and padded batches gathered there
- targets: `Targets`; names, units and scale of what is predicted
"""
