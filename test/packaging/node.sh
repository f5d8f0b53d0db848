#!/bin/bash
# packaging/kubernetes/node.sh on a directory that is a node's root: what it
# puts there containerd takes, and it leaves everything as it was.
#
# usage: node.sh BUILD_DIRECTORY
#
# exit code: 0 all is well, 1 not.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR
. "$here/package.sh"

readonly script=$here/../../packaging/kubernetes/node.sh

# What is on the node, with modes and contents, but for containerd's restarts.
node_state() {
  (cd "$host" && find . ! -name restarts -printf '%p %m %l\n' | sort &&
    find . -type f ! -name restarts -exec sha256sum {} + | sort -k 2)
}

restarts() {
  wc -l <"$host/restarts"
}

run() {
  HYDRA_HOST=$host HYDRA_FROM=$work/hydra \
    HYDRA_RESTART="${restart:-$work/restart}" "$script" "$@" --once
}

# make_node VERSION
make_node() {
  host=$work/node-$1
  mkdir -p "$host"/{etc/containerd,usr/local/bin,run}
  : >"$host/restarts"
  printf 'version = %d\n[debug]\n  level = "info"\n' "$1" \
    >"$host/etc/containerd/config.toml"
  chmod 600 "$host/etc/containerd/config.toml"
  printf '#!/bin/sh\necho >>%s/restarts\n' "$host" >"$work/restart"
  chmod +x "$work/restart"
  node_state >"$work/before"
}

# Twice each, in either version of containerd's configuration, with either
# driver of cgroups.
check_both_ways() {
  local plugin=$2 driver=$3 program
  make_node "$1"
  if [ "$driver" = systemd ]; then
    printf '[plugins."%s".%s]\n  SystemdCgroup = true\n' "$plugin" \
      containerd.runtimes.runc.options >>"$host/etc/containerd/config.toml"
    node_state >"$work/before"
  fi
  run install || fail "install"
  for program in containerd-shim-hydra-v1 hydra-monitor hydra-grpc hydra; do
    [ -x "$host/usr/local/bin/$program" ] || fail "no $program"
  done
  grep -qF "[plugins.\"$plugin\".containerd.runtimes.hydra]" \
    "$host/etc/containerd/config.toml" || fail "no runtime"
  [ "$driver" = "$(grep -q '^SystemdCgroup = true' \
    "$host/etc/hydra/options.toml" && echo systemd || echo cgroupfs)" ] ||
    fail "the driver of cgroups"
  node_state >"$work/after"
  run install || fail "install again"
  node_state | diff "$work/after" - || fail "install again has changed this"
  [ "$(restarts)" = 1 ] || fail "containerd was restarted $(restarts) times"
  run remove || fail "remove"
  run remove || fail "remove again"
  node_state | diff "$work/before" - || fail "removing it leaves this"
  [ "$(restarts)" = 2 ] || fail "containerd was restarted $(restarts) times"
}

# As the containerd here reads it.
check_configuration() {
  make_node 2
  run install
  containerd --config "$host/etc/containerd/config.toml" config dump \
    2>/dev/null | grep -A 15 'runtimes.hydra\]' |
    grep io.containerd.hydra.v1 >/dev/null || fail "containerd reads no runtime"
}

check_failures() {
  make_node 2
  restart=false run install 2>"$work/err" && fail "containerd did not restart"
  cmp -s <(sed 1d "$host/etc/containerd/config.toml") \
    <(printf '[debug]\n  level = "info"\n') || fail "configuration not restored"
  make_node 1
  run install 2>"$work/err" && fail "a version that it does not know"
  grep -q 'version = 2' "$work/err" || fail "it does not say why"
  node_state | diff "$work/before" - || fail "it has changed this all the same"
  host=$work/nothing
  mkdir "$host"
  run install 2>"$work/err" && fail "installed on no node"
  [ -z "$(ls -A "$host")" ] || fail "it has changed that"
}

# An instance is a socket with a directory of its own.
check_busy() {
  make_node 2
  run install
  mkdir -p "$host/run/hydra/0123456789ab/k8s.io/busy"
  python3 - "$host/run/hydra/0123456789ab/k8s.io/busy.sock" <<'PYTHON'
import socket, sys
socket.socket(socket.AF_UNIX).bind(sys.argv[1])
PYTHON
  node_state >"$work/before"
  run remove 2>"$work/err" && fail "removed under a container"
  grep -q busy "$work/err" || fail "it does not say which"
  node_state | diff "$work/before" - || fail "it has changed this all the same"
}

work=$(mktemp -d /tmp/hydra-packaging-XXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
# What the package has: deb.sh has compared the two.
DESTDIR=$work/hydra cmake --install "$1" --prefix /usr >"$work/install.log"
cp -a "$here/../../packaging/etc" "$work/hydra"
check_both_ways 2 io.containerd.grpc.v1.cri cgroupfs
check_both_ways 3 io.containerd.cri.v1.runtime systemd
check_configuration
check_failures
check_busy
