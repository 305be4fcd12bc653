#!/usr/bin/env bash
# The whole job on a small real case: demo.sh CAMPAIGN OUTPUT RANKS
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly CAMPAIGN=$1 OUTPUT=$2 RANKS=$3
readonly XANESML=.venv/bin/xanesml FOIL=examples/Au_Foil_L3_rt_2016Foils.xdi

# Open MPI starts as root, and with more ranks than cores, only when told so.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
readonly MPIRUN=(mpirun --oversubscribe --bind-to none -n "$RANKS")

step() { printf '\n== %s\n' "$*"; }

step "simulate: real FEFF10 on $RANKS ranks"
"${MPIRUN[@]}" "$XANESML" simulate "$CAMPAIGN" --output "$OUTPUT"
step "average: spectra to training tensors"
"${MPIRUN[@]}" "$XANESML" average "$CAMPAIGN" --output "$OUTPUT"
step "plot: the series and the averages"
"$XANESML" plot "$CAMPAIGN" --output "$OUTPUT"
step "train: Horovod on $RANKS ranks"
"${MPIRUN[@]}" "$XANESML" train "$CAMPAIGN" --output "$OUTPUT" --ranks-per-network "$RANKS"
step "predict: the measured gold foil"
"$XANESML" predict "$OUTPUT/model" "$FOIL" --output "$OUTPUT"
step "summary"
"$XANESML" report "$CAMPAIGN" --output "$OUTPUT"
printf '\nThe demo took %d min %d s.\n' $((SECONDS / 60)) $((SECONDS % 60))
