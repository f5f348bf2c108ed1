"""Evaluation: errors of predictions, the uncertainty of ensembles, results and their pictures.

Everything here takes arrays and dictionaries: it knows nothing of crystals, networks and run folders.
Imports errors and files.

- metrics: `mean_absolute_error`, `area_under_curve` and others
- conformal: prediction intervals with stated coverage
- calibration: `Calibration`, `fit_calibration`; coverage and reliability of predicted deviations
- display: `summary_html`, what notebooks show
- results: `Result`, the one shape of metrics.jsonl, summary.json and `Run.summary`
- figures: parity plots, learning curves and all other pictures
"""
