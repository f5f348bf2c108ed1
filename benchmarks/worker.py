"""The process behind measure.Worker: `python worker.py JOB`, then one measurement for each line of input."""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module


def main() -> None:
    job = json.loads(sys.argv[1])
    results = os.fdopen(os.dup(1), "w")  # libraries may print: only results go to the parent
    os.dup2(2, 1)
    import torch

    # Before the first parallel region: threads inherit the mode from the thread that starts them.
    torch.set_flush_denormal(job["flush_denormals"])
    torch.set_num_threads(job["threads"])
    module, function = job["function"].split(".")
    measure = getattr(import_module(module), function)(**job["arguments"])
    print(json.dumps("ready"), file=results, flush=True)
    for _ in sys.stdin:
        print(json.dumps(measure()), file=results, flush=True)


if __name__ == "__main__":
    main()
