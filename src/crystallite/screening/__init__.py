"""Screening: predictions for every distinct material among millions of crystals, resumable, on many machines.

Imports models, materials, sources and what is below them; no training.

- screening: `screen`; a screening as a whole
- loop: `Loop`; what is done with the pieces of the inputs, in order
- plan: what a screening is asked, written down in its folder
- engine: `local_processes`; where the work is done
- ray_cluster: `ray_cluster`; the same on the nodes of a cluster (the extra ray)
- work: `Worker`; pieces of inputs to crystals, graphs and keys, graphs to rows
- seen: `FirstPlaces`; which crystal was the first of its material
- shortlist: `write_shortlist`; the best crystals, with their structures
- results: `Results`; the folder with a row for every crystal
"""
