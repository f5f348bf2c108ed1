#!/usr/bin/env bash
# What a newcomer does: a fresh clone, a fresh environment, an empty home. First the README's first command in
# the checkout, then a wheel in an environment of its own, used from another folder.
set -euo pipefail
checkout=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

# pip may be told where packages are by a file in the home that is left behind.
for file in "${XDG_CONFIG_HOME:-$HOME/.config}/pip/pip.conf" "$HOME/.pip/pip.conf"; do
    [ -n "${PIP_CONFIG_FILE:-}" ] || [ ! -f "$file" ] || export PIP_CONFIG_FILE="$file"
done
unset CRYSTALLITE_CACHE NUMBA_CACHE_DIR MPLCONFIGDIR XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME PYTHONPATH

echo "== make demo in a fresh clone"
export HOME="$place/home"
mkdir "$HOME"
git clone --quiet "$checkout" "$place/clone"
cd "$place/clone"
make demo | tee "$place/demo.txt"
grep -q "test MAE .* eV/atom" "$place/demo.txt"
ls runs/*/parity.png

echo "== a wheel in another environment and folder"
export HOME="$place/other-home"
mkdir "$HOME"
pip() { "$place/environment/bin/python" -m pip --quiet --disable-pip-version-check "$@"; }
python3 -m venv "$place/environment"
pip wheel --no-deps --wheel-dir "$place" "$place/clone"
pip install torch==2.13.0
pip install --constraint constraints.txt "$place"/crystallite-*.whl
mkdir "$place/elsewhere"
cd "$place/elsewhere"
PATH="$place/environment/bin:$PATH"
crystallite --help
crystallite train elastic --target log10_bulk_modulus --epochs 2 --out run
crystallite predict run formation -o predictions.csv
[ "$(wc -l < predictions.csv)" -eq 3939 ]
