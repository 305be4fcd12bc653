# A member of a job array is queried and requeued by a number of its own, not by that of the array.
job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$index} job=${job:-${SLURM_JOB_ID:-}}
state() { SLURM_TIME_FORMAT=standard squeue --noheader --job "$job" --format "$1"; }

# The driver starts no run that is unlikely to end in time; not every Slurm passes the end to the job.
if [[ -n $job ]] && ends=$(state %e) && [[ $ends == *T* ]]; then
  SLURM_JOB_END_TIME=$(date --date "$ends" +%s) || unset SLURM_JOB_END_TIME
  export SLURM_JOB_END_TIME
fi

# Slurm signals only this shell, which forwards the signal to the launcher and so to all ranks.
# On TERM a launcher would kill the ranks; on USR2 they end their runs and close their files.
"${command[@]}" "${target[@]}" "$@" &
launcher=$! signaled='' canceled=''
trap 'signaled=1; kill -USR1 "$launcher" 2>/dev/null' USR1
trap 'signaled=1 canceled=1; kill -USR2 "$launcher" 2>/dev/null' TERM INT
while
  signaled='' status=0
  wait "$launcher" || status=$?
  [[ -n $signaled ]]
do :; done

# Some runs failed, and fewer than the campaign allows: the jobs that wait for this one go on without them.
if [[ $status == "$passing" ]]; then
  echo "some runs failed, and the jobs after this one go on without them"
  status=0
fi
[[ -n $job ]] || exit "$status"

# What it cost: Slurm counts a node's hours and, where the site measures it, the energy.
used=$((SECONDS * SLURM_NNODES))
printf 'used: %d.%02d node hours on %d nodes' $((used / 3600)) $((used % 3600 / 36)) "$SLURM_NNODES"
energy=$(timeout 20 sacct --noheader --parsable2 --jobs "$job" --format ConsumedEnergyRaw 2>/dev/null | sort -n | tail -1) ||
  energy=''
[[ ${energy:-0} == 0 ]] || printf ', %s J' "$energy"
echo

# Preemption with a time of grace ends the ranks and leaves the job itself running until that time is over.
preempted() { [[ $(scontrol --oneliner show job "$job") == *\ PreemptTime=[0-9]* ]]; }
nodes_answer() { timeout 60 srun --nodes="$SLURM_NNODES" --ntasks="$SLURM_NNODES" --ntasks-per-node=1 true; }

# 75: work is left. A launcher may fail because of a lost node before Slurm notices.
case $status in
  0 | 2 | 3 | 4) exit "$status" ;;
  75) [[ -z $canceled ]] || preempted || exit "$status" ;;
  *) preempted || { [[ -z $canceled ]] && ! nodes_answer; } || exit "$status" ;;
esac
# A requeued job keeps its number, so that its dependent jobs keep waiting.
count=${SLURM_RESTART_COUNT:-0}
if [[ $count -ge $restarts ]]; then
  echo "work is left after $count restarts, the most allowed; submit the same job again" >&2
elif [[ $(state %T) == RUNNING ]]; then
  if scontrol requeue "$job"; then
    echo "work is left; job $job is requeued, restart $((count + 1)) of at most $restarts"
  else
    echo "work is left, and Slurm does not let job $job queue itself again; submit it, and those after it, once more" >&2
  fi
fi
exit "$status"
