"""Models: trained networks on disk, their predictions, and how far these can be trusted.

It trains nothing. Imports runs, network, sources and what is below them.

- checkpoint: `TrainedModel`, `read_model`, `save_model`; safetensors with a JSON header and checksums
- bundle: `Bundle`; a model to give away, members and all, in one file; export: a folder with it and its card
- published: checkpoints of the published code
- ready: the models that come with the package; card: what they predict, how well, and from what data
- loading: `load_model`; any model from where it lies
- torch_networks: the network of a model in PyTorch, for training and GPUs
- inference: running a network over packed graphs
- reliability: `Reliability`; intervals, and how new a crystal is; held_out: measuring it on held-out crystals
- reference: the training data as a model sees them; nearest: the nearest of them
- predictor: `Predictor`; predictions from any model for any structures
- tables: the columns of a table of predictions
- embeddings: `embed_files`; vectors of crystals and of atoms
- file_predictions: predictions streamed from files to a table; frame: `predict`, as a pandas DataFrame
"""
