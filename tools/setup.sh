#!/usr/bin/env bash
# Build the environment that `make demo` and `make test` use: system packages,
# .venv, h5py against parallel HDF5, Horovod against TensorFlow.
#   setup.sh [--tests]
# With --tests, install also what only tests need: Slurm, an SSH server, Chromium, and .venv-jax.
#
# Each step leaves a stamp named after its inputs, so a second call does nothing
# and a changed input repeats only its own step. Nothing is installed outside
# the two environments but the Debian/Ubuntu packages below, and those only where they are missing.
# Where Slurm, the SSH server or Chromium cannot be installed, their tests are skipped, or fail if CI is set.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly VENV=$PWD/.venv
readonly LOGS=$VENV/log
readonly WHEELS=$VENV/wheels
readonly CONSTRAINTS=$PWD/tools/constraints.txt
readonly JAX_VENV=$PWD/.venv-jax
readonly JAX_CONSTRAINTS=$PWD/tools/constraints-jax.txt
readonly PIP=("$VENV/bin/python" -m pip --disable-pip-version-check --no-input)
readonly SYSTEM_PACKAGES=(build-essential cmake pkg-config openmpi-bin libopenmpi-dev
  libhdf5-openmpi-dev python3-dev python3-venv)
# dropbear-bin and not openssh-server, which would leave a server running on this machine.
readonly SLURM_PACKAGES=(slurm-wlm munge iproute2 openssh-client dropbear-bin)

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$@" >&2; exit 1; }

# stamped NAME INPUT...: true when step NAME has already run with these inputs.
stamp_of() { printf '%s/stamps/%s-%s' "$VENV" "$1" "$(printf '%s\n' "${@:2}" | sha256sum | cut -c1-16)"; }
stamped() { [[ -e $(stamp_of "$@") ]]; }
stamp() {
  mkdir -p "$VENV/stamps"
  rm -f "$VENV/stamps/$1"-*
  touch "$(stamp_of "$@")"
}

# logged FILE WHAT COMMAND...: run the command with its output in a log; show the end on failure.
logged() {
  local log=$LOGS/$1.log what=$2
  mkdir -p "$LOGS"
  if ! "${@:3}" >"$log" 2>&1; then
    tail -n 30 "$log" >&2
    fail "$what failed; the whole log is $log"
  fi
}

system_is_complete() {
  command -v mpicc >/dev/null && command -v mpirun >/dev/null && command -v g++ >/dev/null &&
    command -v cmake >/dev/null &&
    pkg-config --exists hdf5-openmpi 2>/dev/null
}

has_apt() { command -v apt-get >/dev/null && { [[ $EUID -eq 0 ]] || sudo -n true 2>/dev/null; }; }

# apt_install PACKAGE...
apt_install() {
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get)
  [[ $EUID -eq 0 ]] || apt=(sudo -n "${apt[@]}")
  say "system packages: $*"
  mkdir -p "$VENV"
  logged apt-update "apt-get update" "${apt[@]}" update
  logged apt-install "apt-get install" "${apt[@]}" install --yes --no-install-recommends "$@"
}

install_system_packages() {
  system_is_complete && return
  has_apt || fail "missing: an MPI compiler, parallel HDF5 or a C++ compiler; installing them needs root and apt." \
    "with root:     apt-get install ${SYSTEM_PACKAGES[*]}" \
    "with modules:  module load gcc openmpi hdf5-parallel cmake   (names differ by site)" \
    "with conda:    conda install -c conda-forge openmpi 'h5py=*=mpi_openmpi*' mpi4py cxx-compiler cmake make" \
    "docs/how-to/install.md has each of them step by step."
  apt_install "${SYSTEM_PACKAGES[@]}"
  system_is_complete || fail "the packages are installed, but mpicc, mpirun or hdf5-openmpi is still not found"
}

slurm_is_complete() {
  local PATH=$PATH:/usr/sbin program
  for program in sbatch slurmctld slurmd munged ip ssh dropbear; do
    command -v "$program" >/dev/null || return 1
  done
}

install_slurm() {
  slurm_is_complete && return
  [[ ${SLURM:-yes} == yes ]] && has_apt && (apt_install "${SLURM_PACKAGES[@]}") && return
  say "continuing without Slurm (${SLURM_PACKAGES[*]}): its tests will be skipped, or fail if CI is set"
}

install_browser() {
  command -v chromium >/dev/null && return
  has_apt && (apt_install chromium) && return
  say "continuing without Chromium: the tests of the report's page in a browser will be skipped, or fail if CI is set"
}

find_python() {
  # Without the environment itself, which is on the path where it is activated.
  local PATH=:$PATH: candidate
  PATH=${PATH//":$VENV/bin:"/:} PATH=${PATH#:} PATH=${PATH%:}
  for candidate in "${PYTHON:-python3}" python3.11 python3.12 /usr/bin/python3; do
    if command -v "$candidate" >/dev/null &&
      "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  fail "no Python 3.11 or 3.12 with venv found (TensorFlow 2.18 and Keras 3.15 have wheels for both);" \
    "name one with: make demo PYTHON=/path/to/python3.11"
}

make_venv() {
  local python
  python=$(find_python)
  local inputs=("$python" "$("$python" --version)")
  stamped venv "${inputs[@]}" && return
  say "virtual environment: .venv with $("$python" --version)"
  rm -rf "$VENV"
  "$python" -m venv "$VENV"
  mkdir -p "$LOGS"
  stamp venv "${inputs[@]}"
}

install_build_tools() {
  local inputs=("$(cat "$CONSTRAINTS")")
  stamped build-tools "${inputs[@]}" && return
  say "build tools, numpy, mpi4py and TensorFlow (a large download)"
  logged build-tools "installing the build tools" "${PIP[@]}" install --constraint "$CONSTRAINTS" \
    pip setuptools wheel Cython pkgconfig numpy mpi4py packaging psutil cloudpickle pyyaml cffi tensorflow
  stamp build-tools "${inputs[@]}"
}

# pinned NAME: the requirement that the constraints give for a package.
pinned() { grep -i "^$1==" "$CONSTRAINTS"; }

build_h5py() {
  local inputs
  inputs=("$(pinned h5py)" "$(pinned mpi4py)" "$(pinned numpy)" "$(pkg-config --modversion hdf5-openmpi)" "$(command -v mpicc)")
  stamped h5py "${inputs[@]}" && return
  say "h5py against parallel HDF5 $(pkg-config --modversion hdf5-openmpi) (about 4 minutes)"
  HDF5_MPI=ON CC=mpicc HDF5_PKGCONFIG_NAME=hdf5-openmpi \
    logged h5py "building h5py" "${PIP[@]}" wheel --no-build-isolation --no-binary=h5py --no-cache-dir --no-deps \
    --wheel-dir "$WHEELS" "$(pinned h5py)"
  logged h5py-install "installing h5py" "${PIP[@]}" install --force-reinstall --no-deps "$WHEELS"/h5py-*.whl
  stamp h5py "${inputs[@]}"
}

build_horovod() {
  local inputs
  inputs=("$(pinned horovod)" "$(pinned tensorflow)" "$(pinned mpi4py)" "$(command -v mpicc)")
  stamped horovod "${inputs[@]}" && return
  say "Horovod against TensorFlow and MPI (about 6 minutes)"
  HOROVOD_WITH_TENSORFLOW=1 HOROVOD_WITH_MPI=1 HOROVOD_WITHOUT_GLOO=1 \
    HOROVOD_WITHOUT_PYTORCH=1 HOROVOD_WITHOUT_MXNET=1 MAKEFLAGS="-j$(nproc)" \
    logged horovod "building Horovod" "${PIP[@]}" wheel --no-build-isolation --no-cache-dir --no-deps \
    --wheel-dir "$WHEELS" "$(pinned horovod)"
  logged horovod-install "installing Horovod" "${PIP[@]}" install --force-reinstall --no-deps "$WHEELS"/horovod-*.whl
  stamp horovod "${inputs[@]}"
}

install_project() {
  local inputs
  inputs=("$(cat setup.cfg pyproject.toml "$CONSTRAINTS")" "$PWD")
  stamped project "${inputs[@]}" && return
  say "xanesml itself, in place, with its train, experiment, notebook, docs and dev extras"
  logged project "installing xanesml" "${PIP[@]}" install --constraint "$CONSTRAINTS" --no-build-isolation \
    --editable '.[train,experiment,notebook,docs,dev]'
  stamp project "${inputs[@]}"
}

# Keras on JAX without TensorFlow, for the tests that compare the two.
make_jax_venv() {
  local inputs
  inputs=("$(cat setup.cfg pyproject.toml "$CONSTRAINTS" "$JAX_CONSTRAINTS")" "$PWD")
  [[ -x $JAX_VENV/bin/xanesml ]] && stamped jax "${inputs[@]}" && return
  say "xanesml with Keras on JAX in .venv-jax (about a minute)"
  [[ -x $JAX_VENV/bin/python ]] || logged jax-venv "making .venv-jax" "$VENV/bin/python" -m venv "$JAX_VENV"
  # Python compiles a module when it is first imported, and most of these never are.
  local install=("$JAX_VENV/bin/python" -m pip --disable-pip-version-check --no-input install --no-compile
    --constraint "$CONSTRAINTS" --constraint "$JAX_CONSTRAINTS")
  logged jax-tools "installing setuptools into .venv-jax" "${install[@]}" setuptools wheel
  logged jax "installing Keras on JAX" "${install[@]}" --no-build-isolation --editable '.[jax]'
  stamp jax "${inputs[@]}"
}

verify() {
  "$VENV/bin/python" - <<'PY' || fail "the environment is broken; remove .venv and run again"
import h5py, sys
from mpi4py import MPI
if not h5py.get_config().mpi:
    sys.exit("setup: h5py was built without MPI")
print(f"setup: ready: Python {sys.version.split()[0]}, h5py {h5py.__version__} with parallel HDF5 "
      f"{h5py.version.hdf5_version}, {MPI.Get_library_version().split(',')[0]}")
PY
}

install_system_packages
make_venv
install_build_tools
build_h5py &
h5py_build=$!
build_horovod
wait "$h5py_build" || exit 1
install_project
if [[ ${1:-} == --tests ]]; then
  install_slurm
  install_browser
  make_jax_venv
fi
verify
