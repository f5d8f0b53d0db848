#!/bin/bash
# Measures Hydra against containerd's own shim, on this machine, in one run.
#
#   test/bench/run.sh [--bench PROGRAM] [OPTION...]
#
# PROGRAM is build/bin/hydra_bench if not given; the shims are looked for
# beside it first. Options are the program's: see its --help. As root.
#
# All of it runs in a pid and a mount namespace of its own: then every process
# that is counted is ours, none is left behind, and the places that
# containerd's shim is bound to (/run/containerd) are not the system's.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source-path=SCRIPTDIR/../..
. "$root/packaging/lib/output.sh"
. "$root/packaging/lib/engine.sh"

# What ctest takes for "skipped".
readonly skipped=77
readonly image=localhost/busybox:bench

bench=$root/build/bin/hydra_bench
if [ "${1-}" = --bench ]; then
  bench=$2
  shift 2
fi

outside() {
  local status=0 work
  if [ "$(id -u)" -ne 0 ]; then
    echo "the benchmark runs containers, so it must run as root" >&2
    exit "$skipped"
  fi
  [ -x "$bench" ] || cannot "$bench is not there: build it first."
  if ! unshare --pid --mount --fork --mount-proc true; then
    echo "there can be no pid namespace here, and so no benchmark" >&2
    exit "$skipped"
  fi
  work=$(mktemp -d /tmp/hydra-bench-XXXXXX)
  mkdir -p /run/containerd
  unshare --pid --mount --fork --kill-child --mount-proc -- \
    env HYDRA_BENCH_WORK="$work" "${BASH_SOURCE[0]}" --bench "$bench" "$@" ||
    status=$?
  engine_init "$work/engine" "${work##*/}"
  engine_forget_namespace
  if [ "$status" -ne 0 ] && [ -s "$work/containerd.log" ]; then
    echo "What containerd said last:" >&2
    tail -n 5 "$work/containerd.log" >&2
  fi
  rm -rf "$work"
  exit "$status"
}

inside() {
  local work=$HYDRA_BENCH_WORK status=0
  unset HYDRA_BENCH_WORK
  PATH=$(dirname "$bench"):$PATH
  mount -t tmpfs -o mode=711 tmpfs /run/containerd
  engine_init "$work/engine" "${work##*/}"
  engine_log=$work/containerd.log
  engine_busybox "$work/rootfs"
  mkdir -p "$work/scratch"
  engine_start || {
    echo "containerd does not start" >&2
    return 1
  }
  local snapshotter
  snapshotter=$(engine_snapshotter)
  engine_import_busybox "$image" "$snapshotter" >/dev/null
  # From here on it is the benchmark's, which kills it and starts it again.
  engine_stop
  "$bench" --config "$engine_dir/config.toml" --log "$engine_log" \
    --address "$engine_address" --state "$engine_state" \
    --namespace "$engine_namespace" --image "$image" \
    --snapshotter "$snapshotter" --rootfs "$work/rootfs" \
    --work "$work/scratch" "$@" || status=$?
  return "$status"
}

if [ -n "${HYDRA_BENCH_WORK-}" ]; then
  inside "$@"
else
  outside "$@"
fi
