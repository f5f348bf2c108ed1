"""Names of the files in a run folder; predictions need no more of it."""

CONFIG, METRICS, BEST, LAST = "config.toml", "metrics.jsonl", "best.safetensors", "last.safetensors"
PREDICTIONS, SUMMARY, SPLIT = "test_predictions.csv", "summary.json", "split.csv"
GIVEN = "given"  # the split setting of a run whose caller named the crystals of each set
LOCK = ".lock"  # held by the training run that uses the folder
PARITY, LEARNING_CURVE = "parity.png", "learning_curve.png"
GROUP = "group.json"  # in the folder of several runs: {"folds": k} or {"members": k}
