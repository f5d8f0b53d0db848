# A containerd of our own, which shares nothing with the system's. Sourced by
# bash after output.sh.
#
#   engine_init DIR NAMESPACE   all of it lies under DIR, what Hydra keeps in
#                               /run included; starts nothing
#   engine_start                waits until it answers; sets engine_pid
#   engine_kill                 SIGKILL, as a crash would
#   engine_stop                 SIGTERM, and SIGKILL if that takes over 10 s
#   engine_ctr ARGUMENT...      ctr, against it
#   engine_snapshotter          the one to use here
#   engine_busybox DIR          makes a root file system with busybox alone
#   engine_import_busybox REF SNAPSHOTTER
#                               an image with busybox alone, without a network
#   engine_processes            pids of everything it started and is still there
#   engine_mounts               mount points under DIR
#   engine_forget_namespace     removes what runc left outside DIR
#
# One engine per shell.
# shellcheck shell=bash

engine_dir=
engine_namespace=
engine_address=
engine_state=
engine_log=
engine_pid=

engine_init() {
  engine_dir=$1
  engine_namespace=$2
  engine_address=$engine_dir/containerd.sock
  engine_state=$engine_dir/state
  engine_log=$engine_dir/containerd.log
  export HYDRA_RUN_DIR=$engine_dir/hydra
  export HYDRA_STATE_DIR=$engine_dir/hydra-state
  mkdir -p "$engine_dir"
  # CRI wants a network configuration, opt wants a place in /opt, and neither
  # is used here.
  cat >"$engine_dir/config.toml" <<TOML
version = 2
root = "$engine_dir/root"
state = "$engine_state"
disabled_plugins = [
  "io.containerd.grpc.v1.cri",
  "io.containerd.internal.v1.opt",
]
[grpc]
  address = "$engine_address"
[ttrpc]
  address = "$engine_address.ttrpc"
TOML
}

# engine_wait SECONDS COMMAND...: until it succeeds; for what gives no event.
engine_wait() {
  local end=$(($(now_us) + $1 * 1000000))
  shift
  until "$@"; do
    [ "$(now_us)" -lt "$end" ] || return 1
    sleep 0.01
  done
}

engine_start() {
  setsid containerd --config "$engine_dir/config.toml" \
    >>"$engine_log" 2>&1 </dev/null &
  engine_pid=$!
  engine_wait 30 engine_answers_or_died
  kill -0 "$engine_pid" 2>/dev/null
}

# ctr itself waits for a connection, so it is asked only when there is one.
engine_answers_or_died() {
  engine_is_gone && return
  [ -S "$engine_address" ] && engine_ctr version >/dev/null 2>&1
}

engine_kill() {
  [ -n "$engine_pid" ] || return 0
  kill -KILL "$engine_pid" 2>/dev/null || true
  wait "$engine_pid" 2>/dev/null || true
  engine_pid=
}

engine_stop() {
  [ -n "$engine_pid" ] || return 0
  kill -TERM "$engine_pid" 2>/dev/null || true
  engine_wait 10 engine_is_gone || true
  engine_kill
}

engine_is_gone() {
  ! kill -0 "$engine_pid" 2>/dev/null
}

engine_ctr() {
  ctr --address "$engine_address" --namespace "$engine_namespace" "$@"
}

# Overlay where the kernel lets it lie on this file system, copies otherwise.
engine_snapshotter() {
  # Not grep -q: ctr must not die of SIGPIPE, with pipefail set.
  if engine_ctr plugins list |
    grep '^io.containerd.snapshotter.v1 *overlayfs .* ok *$' >/dev/null; then
    printf overlayfs
  else
    printf native
  fi
}

# _engine_blob LAYOUT FILE: moves it into an OCI layout; prints what a
# descriptor says of it.
_engine_blob() {
  local digest size
  digest=$(sha256sum "$2" | cut -d' ' -f1)
  size=$(stat -c %s "$2")
  mv "$2" "$1/blobs/sha256/$digest"
  printf '"digest":"sha256:%s","size":%d' "$digest" "$size"
}

engine_busybox() {
  local busybox applet
  busybox=$(command -v busybox)
  mkdir -p "$1"/{bin,dev,etc,proc,sys,tmp}
  cp "$busybox" "$1/bin/busybox"
  for applet in $("$busybox" --list); do
    [ "$applet" = busybox ] || ln -sf busybox "$1/bin/$applet"
  done
  echo 'root:x:0:0:root:/:/bin/sh' >"$1/etc/passwd"
}

engine_import_busybox() {
  local work=$engine_dir/image layout=$engine_dir/image/layout
  local root=$engine_dir/image/root layer config manifest
  local architecture type=application/vnd.oci.image
  case $(uname -m) in
    x86_64) architecture=amd64 ;;
    aarch64) architecture=arm64 ;;
    *) architecture=$(uname -m) ;;
  esac
  mkdir -p "$layout/blobs/sha256"
  engine_busybox "$root"

  tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 \
    -C "$root" -cf "$work/layer" .
  layer=$(_engine_blob "$layout" "$work/layer")
  # The layer is not compressed, so its digest is also its diff id.
  printf '{"architecture":"%s","os":"linux","config":{"Env":["PATH=/bin"],%s' \
    "$architecture" '"Cmd":["/bin/sh"]},' >"$work/config"
  printf '"rootfs":{"type":"layers","diff_ids":["%s"]}}' \
    "$(printf '%s' "$layer" | cut -d'"' -f4)" >>"$work/config"
  config=$(_engine_blob "$layout" "$work/config")
  printf '{"schemaVersion":2,"mediaType":"%s","config":{%s},"layers":[{%s}]}' \
    "$type.manifest.v1+json" "\"mediaType\":\"$type.config.v1+json\",$config" \
    "\"mediaType\":\"$type.layer.v1.tar\",$layer" >"$work/manifest"
  manifest=$(_engine_blob "$layout" "$work/manifest")
  printf '{"schemaVersion":2,"manifests":[{"mediaType":"%s",%s,%s}]}' \
    "$type.manifest.v1+json" "$manifest" \
    "\"annotations\":{\"io.containerd.image.name\":\"$1\"}" \
    >"$layout/index.json"
  printf '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
  tar -C "$layout" -cf "$work/image.tar" .

  engine_ctr images import --snapshotter "$2" "$work/image.tar" || return 1
  rm -rf "$work"
}

# Everything containerd starts carries the engine's address in its arguments
# or, inherited, in its environment.
engine_processes() {
  local file pid
  # The pattern comes from a file, so that grep does not find itself.
  { grep -slaF -f <(printf '%s\n' "$engine_address") \
    /proc/[0-9]*/cmdline /proc/[0-9]*/environ || true; } |
    while read -r file; do
      pid=${file#/proc/}
      printf '%s\n' "${pid%%/*}"
    done | sort -nu
}

engine_mounts() {
  awk -v dir="$engine_dir/" 'index($2, dir) == 1 { print $2 }' \
    /proc/self/mounts
}

# The containers' cgroups and runc's state, which lie outside DIR under the
# namespace's name: empty parents after a good run, all of it after a bad one.
engine_forget_namespace() {
  rm -rf "/run/containerd/runc/$engine_namespace"
  engine_wait 5 _engine_no_cgroups || true
}

# A cgroup can be removed a moment after its last process is gone.
_engine_no_cgroups() {
  local directory left=''
  for directory in /sys/fs/cgroup/{,*/}"$engine_namespace"; do
    [ -d "$directory" ] || continue
    find "$directory" -depth -type d -exec rmdir {} + 2>/dev/null || left=yes
  done
  [ -z "$left" ]
}
