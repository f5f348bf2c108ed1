"""Models: trained networks on disk, and their predictions.

It trains nothing. Imports runs, network, sources and what is below them.

- checkpoint: `TrainedModel`, `read_model`, `save_model`; safetensors with a JSON header and checksums
- published: checkpoints of the published code
- torch_networks: the network of a model in PyTorch, for training and GPUs
- inference: running a network over packed graphs
- predictor: `Predictor`, `load_model`; predictions from any model for any structures
- file_predictions: predictions streamed from files to a table; frame: `predict`, as a pandas DataFrame
"""
