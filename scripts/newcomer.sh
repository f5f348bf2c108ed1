#!/usr/bin/env bash
# What a newcomer does, on a machine that never saw this project: the README's first command in a clean clone,
# then a wheel installed elsewhere. Nothing comes from the caller's home, caches or Python packages, and nothing
# is left behind. pip still reads its settings for the whole machine and from the environment.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(command -v "${PYTHON:-python3}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git clone --quiet . "$work/clone"

mkdir "$work/home" "$work/elsewhere"
export HOME=$work/home
unset CRYSTALLITE_CACHE NUMBA_CACHE_DIR MPLCONFIGDIR PYTHONPATH VIRTUAL_ENV
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME

# Stop unless the output in file $1 has a test error and folder $2 a parity plot.
check_training() {
    grep -q '^  test MAE  *[0-9]' "$1" || { echo "newcomer.sh: no test error" >&2; exit 1; }
    test -s "$2/parity.png" || { echo "newcomer.sh: no $2/parity.png" >&2; exit 1; }
}

echo '== make demo in a clean clone'
make --no-print-directory -C "$work/clone" PYTHON="$python" demo | tee "$work/demo.log"
check_training "$work/demo.log" "$(echo "$work"/clone/runs/*)"

echo '== a wheel in an environment of its own'
"$work/clone/.venv/bin/pip" wheel --quiet --no-deps --wheel-dir "$work/wheel" "$work/clone"
cp constraints.txt "$work/elsewhere"
cd "$work/elsewhere"
"$python" -m venv venv
export PATH=$PWD/venv/bin:$PATH
pip install --quiet --disable-pip-version-check --constraint constraints.txt "$work"/wheel/*.whl
crystallite --help
crystallite predict "$work"/clone/runs/* elastic -o without_torch.csv
! pip show --quiet torch 2> /dev/null || { echo 'newcomer.sh: predictions brought PyTorch' >&2; exit 1; }
pip install --quiet --disable-pip-version-check "$(grep '^torch==' constraints.txt)"
pip install --quiet --disable-pip-version-check --constraint constraints.txt "$(echo "$work"/wheel/*.whl)[train]"
crystallite train elastic --target log10_bulk_modulus --epochs 2 --out run | tee train.log
check_training train.log run
crystallite predict run dielectric -o predictions.csv
test "$(wc -l < predictions.csv)" -eq 1057 || { echo 'newcomer.sh: not one prediction per crystal' >&2; exit 1; }
echo '== newcomer.sh: all went well'
