#!/usr/bin/env bash
# The whole job on a small real case: demo.sh CAMPAIGN OUTPUT RANKS
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly CAMPAIGN=$1 OUTPUT=$2 RANKS=$3
readonly XANESML=.venv/bin/xanesml FOIL=examples/Au_Foil_L3_rt_2016Foils.xdi MEASURED=examples/measured
readonly SAMPLES=("$MEASURED"/au_colloid_*.xdi "$MEASURED"/au_tio2_*.xdi)

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
step "predict: a measured gold foil, by the model of the demo"
"$XANESML" predict "$OUTPUT/model" "$FOIL" --output "$OUTPUT"
step "predict: measured samples beside their foil, by the model that ships"
rm -rf "$OUTPUT/measured"
"$XANESML" predict au-l3 "${SAMPLES[@]}" --reference "$MEASURED/au_foil.xdi" --reference-msd 0.0080 \
  --reference-error 0.0004 --no-figures --output "$OUTPUT/measured"
step "summary"
"$XANESML" report "$CAMPAIGN" --output "$OUTPUT"

report=$OUTPUT/report.html
[[ -e $report ]] || report=$OUTPUT/summary.md
cat <<END

==============================================================================
The demo took $((SECONDS / 60)) min $((SECONDS % 60)) s, all of it real: FEFF runs, averages, networks, readings.

1. A gold foil, read by the model of the demo. Do not believe it: its spectra
   are of 55 atoms with cheap cards, and a foil is unlike any of them.

$(.venv/bin/python tools/readings.py "$MEASURED/exafs.csv" "$OUTPUT/predictions.json")

2. Measured samples beside their foil, by the model that ships (xanesml models).

$(.venv/bin/python tools/readings.py "$MEASURED/exafs.csv" "$OUTPUT"/measured/*.json)

Report:  $report
Figure:  $OUTPUT/figures/$(basename "$FOIL" .xdi).png
Next:    $XANESML predict au-l3 SAMPLE --reference FOIL --reference-msd 0.0081
END
