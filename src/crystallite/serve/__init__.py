"""Serve: ready and trained models in a browser and for programs, on one's own machine (extra `serve`).

Predictions are those of the command line. Imports models, runs, sources and what is below them; no training.

- server: `serve`; processes, port, start and stop
- settings: what a server is started with, and its limits
- app: the routes; schemas: what goes in and out of them
- guard: who may ask: host, origin, token; size, time and number of requests; headers of the answers
- catalogue: `Catalogue`; the models there are, loaded once
- batching: `Batcher`; crystals of requests that arrive together, evaluated together
- evaluation: predictions and vectors of crystals by several models, one row a crystal
- service: `Service`; what the routes ask for: threads that read and evaluate, and who waits
- streams: predictions of lines of JSON, as they come
- reading: texts that were sent, read within what a request may hold
- answers: rows as JSON and as the command line's CSV
- drawing: `drawn`; a crystal as the page draws it: atoms, bonds, symmetry
- run_views: learning curves and parity plots of run folders, also while they train
- measurements: numbers for Prometheus
- static: the page; examples: crystals to try
"""
