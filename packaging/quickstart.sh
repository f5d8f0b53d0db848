#!/bin/bash
# Shows on this machine that a container outlives its engine: builds Hydra,
# starts a private containerd, runs a container, kills that containerd, starts
# it again, and finds the same process. Nothing of the system's is touched.
#
#   sudo packaging/quickstart.sh
#
# HYDRA_RUNTIME=io.containerd.runc.v2 does the same with containerd's own shim,
# for comparison.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source-path=SCRIPTDIR/..
. "$root/packaging/lib/output.sh"
. "$root/packaging/lib/packages.sh"
. "$root/packaging/lib/build.sh"
. "$root/packaging/lib/engine.sh"

readonly runtime=${HYDRA_RUNTIME:-io.containerd.hydra.v1}
readonly container=survivor
readonly image=localhost/busybox:quickstart
# Counts in a file, ten times a second, and ends with 7 when asked to stop: a
# status that nobody could have made up.
# shellcheck disable=SC2016  # for the container's shell
readonly program='
  trap "exit 7" TERM
  i=0
  while :; do
    i=$((i + 1))
    echo $i >/tmp/next && mv /tmp/next /tmp/ticks
    usleep 100000
  done'

step_number=0
step_name=
step_start=0
pid=
work=

# step NAME: what is measured from here on.
step() {
  step_number=$((step_number + 1))
  step_name=$1
  step_start=$(now_us)
}

# did TEXT: how it ended.
did() {
  printf '%2d  %-14s %-58s %s\n' "$step_number" "$step_name" "$1" \
    "$(elapsed "$step_start")"
}

fail() {
  printf '%2d  %-14s FAILED: %s\n' "$step_number" "$step_name" "$1" >&2
  tail -n 1 "$log" >&2
  if [ -s "$engine_log" ]; then
    { printf '\nWhat the engine said:\n' && cat "$engine_log"; } >>"$log"
  fi
  printf 'Details: %s\n' "$log" >&2
  keep_log=yes
  exit 1
}

# Whatever happened: ends what was started here, by pid, and takes down what
# was mounted. After a good run there is nothing left to do but the directory.
clean_up() {
  local status=$? leftover mount
  trap - EXIT
  set +e
  if [ -z "$work" ]; then
    [ -n "$keep_log" ] || rm -f "$log"
    exit "$status"
  fi
  if [ -n "$engine_pid" ]; then
    engine_ctr tasks delete --force "$container" >>"$log" 2>&1
    engine_ctr containers delete "$container" >>"$log" 2>&1
    engine_stop
  fi
  for leftover in $(engine_processes) ${pid:+$(own_pid)}; do
    kill -KILL "$leftover" 2>>"$log"
  done
  for mount in $(engine_mounts | sort -r); do
    umount -l "$mount" 2>>"$log"
  done
  engine_forget_namespace
  rm -rf "$work"
  [ -n "$keep_log" ] || rm -f "$log"
  exit "$status"
}

# The container's pid, if it is still that container's.
own_pid() {
  grep -qs "$namespace" "/proc/$pid/cgroup" && printf '%s' "$pid"
}

ticks() {
  cat "/proc/$pid/root/tmp/ticks" 2>>"$log"
}

# ticks_pass COUNT
ticks_pass() {
  local count
  count=$(ticks) && [ "$count" -gt "$1" ]
}

task_line() {
  engine_ctr tasks list 2>>"$log" |
    awk -v id="$container" '$1 == id { print $2, $3 }'
}

# task_is "PID STATUS"
task_is() {
  [ "$(task_line)" = "$1" ]
}

need_root packaging/quickstart.sh "it starts a containerd and a container"
log=$(mktemp /tmp/hydra-quickstart-XXXXXX.log)
keep_log=
trap clean_up EXIT
trap 'exit 130' INT TERM

printf 'A container that outlives its engine: %s\n\n' "$runtime"

step packages
packages=$(missing_packages "${HYDRA_BUILD_PACKAGES[@]}")
keep_log=yes
install_packages "$log" "${HYDRA_BUILD_PACKAGES[@]}"
keep_log=
did "${packages:+installed }${packages:-all there}"

if [ "$runtime" = io.containerd.hydra.v1 ]; then
  step build
  build_preset "$root" release bin/hydra-monitor bin/containerd-shim-hydra-v1 \
    >>"$log" 2>&1 || fail "Hydra does not build"
  did "build/bin: containerd-shim-hydra-v1, hydra-monitor"
  PATH=$root/build/bin:$PATH
fi

work=$(mktemp -d /tmp/hydra-quickstart-XXXXXX)
namespace=${work##*/}
engine_init "$work/engine" "$namespace"

step engine
engine_start || fail "containerd does not start"
first_engine=$engine_pid
did "$(containerd --version | cut -d' ' -f3), all its own, pid $first_engine"

step image
snapshotter=$(engine_snapshotter)
engine_import_busybox "$image" "$snapshotter" >>"$log" 2>&1 ||
  fail "the image is refused"
did "busybox, made here without a network, on $snapshotter"

step container
engine_ctr run -d --null-io --snapshotter "$snapshotter" --runtime "$runtime" \
  "$image" "$container" /bin/sh -c "$program" >>"$log" 2>&1 ||
  fail "the container does not start"
pid=$(task_line | cut -d' ' -f1)
engine_wait 5 task_is "$pid RUNNING" || fail "the task is not running"
did "running as pid $pid"

step "kill -9"
engine_wait 5 ticks_pass 0 || fail "the container does not count"
before=$(ticks)
engine_kill
engine_wait 5 ticks_pass $((before + 5)) ||
  fail "the container stopped when its engine died"
did "containerd $first_engine is dead; pid $pid counts on, $before to $(ticks)"

step "engine again"
engine_start || fail "containerd does not start a second time"
engine_wait 10 task_is "$pid RUNNING" ||
  fail "the engine says '$(task_line)', not '$pid RUNNING'"
did "containerd $engine_pid answers: $container RUNNING, pid $pid"

step exec
seen=$(engine_ctr tasks exec --exec-id look --fifo-dir "$work/fifo" \
  "$container" cat /tmp/ticks 2>>"$log") ||
  fail "exec into the container does not work"
[ -n "$seen" ] || fail "the output of exec is lost"
did "a process of the new engine's reads its counter: $seen"

step stop
engine_ctr tasks kill --signal TERM "$container" >>"$log" 2>&1 ||
  fail "kill is refused"
engine_wait 10 task_is "$pid STOPPED" || fail "the container does not stop"
# ctr tells a status other than 0 in a warning.
engine_ctr tasks delete "$container" >"$work/delete" 2>&1 ||
  fail "the task is not deleted: $(cat "$work/delete")"
grep -q 'exit code 7"*$' "$work/delete" ||
  fail "the exit status is not the container's 7: $(cat "$work/delete")"
engine_ctr containers delete "$container" >>"$log" 2>&1 ||
  fail "the container is not deleted"
did "SIGTERM sent; exit status 7, as the container chose"

step "clean up"
engine_stop
leftovers() {
  engine_processes
  engine_mounts
  find "$HYDRA_RUN_DIR" ! -type d 2>/dev/null || true
  [ ! -e "/proc/$pid" ] || echo "$pid"
}
nothing_left() {
  [ -z "$(leftovers)" ]
}
engine_wait 10 nothing_left || fail "left behind: $(leftovers | xargs)"
did "no process, no mount and no file left"

printf '\nThe same process, pid %s, before and after its engine.\n' "$pid"
