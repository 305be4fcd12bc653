for index in "${!campaigns[@]}"; do
  printf 'watch:    xanesml status %q --output %q\n' "${campaigns[index]}" "${outputs[index]}"
done
# On Ctrl-C the running job closes its files, and no further one starts.
stopped=''
trap 'stopped=1' INT TERM
for job in "${jobs[@]}"; do
  echo "== $job"
  for ((restart = 0; ; restart++)); do
    status=0
    bash "$here/$job.sbatch" || status=$?
    [[ $status -eq 75 && $restart -lt @RESTARTS@ && -z $stopped ]] || break
  done
  [[ $status -eq 0 ]] || exit "$status"
done
