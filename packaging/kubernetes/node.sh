#!/bin/bash
# Puts Hydra on a node of Kubernetes that runs containerd, or takes it from it.
#
# usage: node.sh install|remove [--once]
#   install  the programs to /usr/local/bin, the options to /etc/hydra, with
#            SystemdCgroup if the node's configuration says so, and the runtime
#            "hydra" to the end of /etc/containerd/config.toml; then containerd
#            is restarted, if its configuration has changed
#   remove   the reverse, once no container is on Hydra any more; the node's
#            files are what they were
#   --once   ends when it is done. Otherwise it waits for its end, as the
#            container of a DaemonSet must
#
# Both may be done twice. In the environment, for tests: HYDRA_HOST, the node's
# root (/host); HYDRA_FROM, the unpacked package (/hydra); HYDRA_RESTART, what
# restarts containerd.
#
# exit code: 0 done, 1 not, and stderr says why; containerd's configuration is
# what it was then.
set -euo pipefail

readonly host=${HYDRA_HOST-/host}
readonly from=${HYDRA_FROM-/hydra}
readonly restart=${HYDRA_RESTART-nsenter -t 1 -m -- systemctl restart containerd}
readonly config=$host/etc/containerd/config.toml
readonly bin=$host/usr/local/bin
readonly options=$host/etc/hydra/options.toml
readonly programs=(containerd-shim-hydra-v1 hydra-monitor hydra-grpc hydra)
readonly begin='# Hydra: begin' end='# Hydra: end'

fail() {
  echo "node.sh: $*" >&2
  exit 1
}

# Renamed into place: containers that run have the old file, and nobody sees
# half of one.
put() {
  mkdir -p "$(dirname "$2")"
  cp -p "$1" "$2.new"
  mv "$2.new" "$2"
}

# The plugin that has the runtimes, by the version of the configuration.
plugin() {
  case $(sed -n 's/^version *= *//p' "$config") in
    2) echo io.containerd.grpc.v1.cri ;;
    3) echo io.containerd.cri.v1.runtime ;;
    *) fail "$config: neither version = 2 nor version = 3" ;;
  esac
}

# new_config [LINE...]: the configuration without what was ours, and LINEs;
# containerd is restarted if that is another one.
new_config() {
  local new=$config.new old=$config.old
  cp -p "$config" "$new"
  sed "/^$begin/,/^$end/d" "$config" >"$new"
  [ $# -eq 0 ] || printf '%s\n' "$begin" "$@" "$end" >>"$new"
  if cmp -s "$new" "$config"; then
    rm "$new"
    return
  fi
  mv "$config" "$old"
  mv "$new" "$config"
  if ! $restart; then
    mv "$old" "$config"
    $restart || true
    fail "containerd does not restart with Hydra's lines in its configuration"
  fi
  rm "$old"
}

# The options, with the driver of cgroups that this node's pods have.
node_options() {
  local driver='SystemdCgroup = true'
  if ! grep -q "^ *$driver" "$config"; then
    driver='#SystemdCgroup = false'
  fi
  sed "s/^#SystemdCgroup = .*/$driver/" "$from/etc/hydra/options.toml"
}

install() {
  local cri program runtime
  [ -e "$config" ] || fail "$config is not there: is this a node of containerd?"
  cri=$(plugin)
  for program in "${programs[@]}"; do
    put "$from/usr/bin/$program" "$bin/$program"
  done
  # It may be the administrator's by now.
  if [ ! -e "$options" ]; then
    mkdir -p "$(dirname "$options")"
    node_options >"$options"
  fi
  runtime="plugins.\"$cri\".containerd.runtimes.hydra"
  new_config "[$runtime]" '  runtime_type = "io.containerd.hydra.v1"' \
    "[$runtime.options]" '  ConfigPath = "/etc/hydra/options.toml"'
}

# Ids of the containers that are on Hydra.
containers() {
  [ ! -x "$bin/hydra" ] ||
    HYDRA_RUN_DIR=$host/run/hydra "$bin/hydra" ps --all --quiet
}

remove() {
  local left program
  left=$(containers)
  [ -z "$left" ] || fail "containers are still on Hydra; drain the node: $left"
  [ ! -e "$config" ] || new_config
  for program in "${programs[@]}"; do
    rm -f "$bin/$program"
  done
  if [ -e "$options" ] && cmp -s <(node_options) "$options"; then
    rm "$options"
    rmdir --ignore-fail-on-non-empty "$host/etc/hydra"
  fi
}

case ${1-} in
  install | remove) "$1" ;;
  *) fail "install or remove?" ;;
esac
[ "${2-}" = --once ] || exec sleep infinity
