"""Computing: how loops are compiled, and what they run on: threads, processes, a device.

It knows nothing of crystals and networks. Imports errors, extras and files.

- compiled: `compiled`, the decorator of all compiled loops, and their cache
- sorting: `ascending`, for compiled loops; hashing: `mixed`, for them too
- progress: `progress_bar`
- threads: `own_threads`, compiled loops over blocks on as many threads as PyTorch is set to use
- processes: `worker_processes`, a pool that ends with whoever started it; `map_ahead`, a few results at once
- buffers: working arrays used again from step to step
- devices: `usable_device`, `device_name`
- distributed: `process_group`, `add_gradients` and what else several processes of one training run agree on
- rendezvous: where these processes meet
"""
