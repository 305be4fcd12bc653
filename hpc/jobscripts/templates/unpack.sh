# Thousands of ranks that load Python from one file system make it slow for all; each node gets its own.
on_every_node() { srun --nodes="$SLURM_NNODES" --ntasks="$SLURM_NNODES" --ntasks-per-node=1 "$@"; }
trap 'on_every_node rm -rf "$environment" "$environment.tar"' EXIT
sbcast --force "$archive" "$environment.tar" || fail "$archive cannot be copied to every node"
# shellcheck disable=SC2016 # expanded on the node
on_every_node bash -c 'mkdir -p "$1" && tar -xf "$1.tar" -C "$1" && rm "$1.tar" && test -e "$1/bin/xanesml"' \
  bash "$environment" || fail "$archive cannot be unpacked in $environment, or has no bin/xanesml"
