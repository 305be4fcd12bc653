ids=() before=
for job in "${jobs[@]}"; do
  options=(--parsable)
  [[ -z $before ]] || options+=("--dependency=@AFTER@:$before" --kill-on-invalid-dep=yes)
  id=$(sbatch "${options[@]}" "$here/$job.sbatch") ||
    fail "sbatch refused $job; cancel the jobs before it with scancel: ${ids[*]:-none}"
  printf '%-9s job %s%s\n' "$job" "${id%%;*}" "${before:+, after job $before}"
  before=${id%%;*}
  ids+=("$before")
done
printf 'watch:    squeue --job %s\n' "$(IFS=,; echo "${ids[*]}")"
for index in "${!campaigns[@]}"; do
  printf '          xanesml status %q --output %q\n' "${campaigns[index]}" "${outputs[index]}"
done
printf '          tail -F %q/*.log\n' "$here"
printf 'stop:     scancel %s\n' "${ids[*]}"
