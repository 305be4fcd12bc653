#!/usr/bin/env bash
# Check the Python versions that xanesml supports, those of them that this machine has: install a
# wheel of the tree with its plain dependencies, import every module, and run the unit tests that
# need no more (no TensorFlow, no h5py with MPI). Where .venv has the same version, its tests are
# not run a second time.
#   pythons.sh [VERSION...]
#
# Environments are kept in .venv/pythons, or in the folder $PYTHONS, and are built again when the
# dependencies or the constraints change.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly PYTHONS=${PYTHONS:-$PWD/.venv/pythons}
OWN=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
readonly OWN
readonly CONSTRAINTS=$PWD/tools/constraints.txt

say() { printf 'pythons: %s\n' "$*"; }

# find_python VERSION: the interpreter of that version, if this machine has one with venv.
find_python() {
  local candidate
  for candidate in "python$1" ~/.pyenv/versions/"$1".*/bin/python "/usr/bin/python$1"; do
    if "$candidate" -c 'import ensurepip, sys; sys.exit("%d.%d" % sys.version_info[:2] != sys.argv[1])' "$1" 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  return 1
}

build_wheel() {
  # pip builds in the source tree and leaves build/ and an egg-info there.
  rm -rf "$PYTHONS/source" "$PYTHONS/wheel"
  mkdir -p "$PYTHONS/source"
  cp -r xanesml hpc setup.cfg pyproject.toml README.md LICENSE "$PYTHONS/source"
  .venv/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$PYTHONS/wheel" "$PYTHONS/source"
}

# install VERSION PYTHON
install() {
  local venv=$PYTHONS/$1 constraints=(--constraint "$CONSTRAINTS") stamp
  # Some of the versions in there have no wheels for 3.10.
  [[ $1 == 3.10 ]] && constraints=()
  stamp=$venv/$( ("$2" --version; sed -n '/^install_requires/,/^$/p' setup.cfg; cat "$CONSTRAINTS") | sha256sum | cut -c1-16)
  local pip=("$venv/bin/python" -m pip --disable-pip-version-check --no-input install)
  if [[ ! -e $stamp ]]; then
    rm -rf "$venv"
    "$2" -m venv "$venv"
    "${pip[@]}" "${constraints[@]}" "$PYTHONS"/wheel/*.whl pytest pytest-timeout hypothesis
    touch "$stamp"
  fi
  "${pip[@]}" --no-deps --force-reinstall "$PYTHONS"/wheel/*.whl
}

import_everything() {
  "$PYTHONS/$1/bin/python" -I - <<'PY'
import importlib, pkgutil, sys
import hpc, xanesml

for package in (xanesml, hpc):
    assert package.__file__.startswith(sys.prefix), package.__file__
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
PY
}

check() {
  install "$@"
  import_everything "$1"
  if [[ $1 == "$OWN" ]]; then
    echo "run in .venv, by \`make pytest\`"
  else
    # Figures belong to the extras, though ase brings matplotlib.
    "$PYTHONS/$1/bin/pytest" -p no:cacheprovider --hypothesis-profile same --ignore tests/unit/plots tests/unit
  fi
}

versions=("$@")
[[ $# -gt 0 ]] || versions=(3.10 3.11 3.12)
# What the environments lack is meant to be skipped, and the wheel to be imported.
unset CI PYTHONPATH

build_wheel
declare -A checks
for version in "${versions[@]}"; do
  if python=$(find_python "$version"); then
    check "$version" "$python" >"$PYTHONS/$version.log" 2>&1 &
    checks[$version]=$!
  else
    say "$version: not on this machine"
  fi
done
failed=0
for version in "${!checks[@]}"; do
  if wait "${checks[$version]}"; then
    say "$version: every module imported; unit tests: $(tail -n 1 "$PYTHONS/$version.log" | tr -d =)"
  else
    grep -E '^(FAILED|ERROR)|Error' "$PYTHONS/$version.log" >&2 || tail -n 30 "$PYTHONS/$version.log" >&2
    say "$version: failed; the whole log is $PYTHONS/$version.log"
    failed=1
  fi
done
exit $failed
