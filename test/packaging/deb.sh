#!/bin/bash
# Makes the Debian package of what a build has built, installs it in a root
# directory of its own, runs a container with nothing but that, and removes it
# again: nothing is left.
#
# usage: deb.sh BUILD_DIRECTORY
#
# exit code: 0 all is well, 1 not, 77 it cannot be tried here.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR
. "$here/../../packaging/lib/output.sh"
. "$here/../../packaging/lib/engine.sh"
. "$here/package.sh"

readonly image=localhost/busybox:packaging
readonly container=installed
readonly runtime=io.containerd.hydra.v1
readonly build=$1
root=

clean_up() {
  local status=$? leftover mount
  trap - EXIT
  set +e
  [ -z "$engine_pid" ] || engine_stop
  for leftover in $(engine_processes); do
    kill -KILL "$leftover"
  done
  for mount in $(engine_mounts | sort -r); do
    umount -l "$mount"
  done
  engine_forget_namespace
  [ "$status" -eq 0 ] || [ ! -s "$engine_log" ] || tail -n 5 "$engine_log" >&2
  rm -rf "$work"
  exit "$status"
}

# As the system's dpkg would, but below $root, whose shell is busybox. The
# engine's environment is not the administrator's.
root_dpkg() {
  env -u HYDRA_RUN_DIR -u HYDRA_STATE_DIR PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    dpkg --root="$root" --ignore-depends=runc "$@" >"$work/dpkg.log" 2>&1
}

make_root() {
  root=$work/root
  engine_busybox "$root"
  mkdir -p "$root"/var/lib/dpkg/{info,updates} "$root/run"
  : >"$root/var/lib/dpkg/status"
}

# What is in the root, but for dpkg's own.
list_root() {
  (cd "$root" && find . -path ./var/lib/dpkg -prune -o -path ./var/log -prune \
    -o -print | sort)
}

# The package has what `cmake --install` installs, and the options.
check_contents() {
  local file
  dpkg-deb -c "$package" >"$work/list"
  awk '$2 != "root/root" || $1 ~ /[sS]|^.....w|^........w/' "$work/list" |
    grep . && fail "the owner or the mode of these"
  awk '$1 !~ /^d/ { print substr($6, 2) }' "$work/list" | sort >"$work/has"
  DESTDIR=$work/installed cmake --install "$build" --prefix /usr \
    >"$work/install.log"
  { (cd "$work/installed" && find . ! -type d -printf '/%P\n') &&
    echo /etc/hydra/options.toml; } | sort >"$work/wanted"
  diff "$work/wanted" "$work/has" || fail "the package has other files"
  for file in bin/{containerd-shim-hydra-v1,hydra-monitor,hydra-grpc,hydra} \
    share/{man/man1/hydra.1,bash-completion/completions/hydra} \
    share/{zsh/vendor-completions/_hydra,hydra/proto/hydra/v1/instance.proto}; do
    grep -qx "/usr/$file" "$work/has" || fail "no $file"
  done
}

check_fields() {
  [ "$(field Package)" = containerd-shim-hydra ] || fail "its name"
  [ "$(field Architecture)" = "$(dpkg --print-architecture)" ] ||
    fail "its architecture"
  # The programs are static.
  [ "$(field Depends)" = runc ] || fail "it depends on $(field Depends)"
  dpkg-deb -I "$package" conffiles | grep -qx /etc/hydra/options.toml ||
    fail "the options would be overwritten"
}

check_programs() {
  local version
  version=$(field Version)
  "$root/usr/bin/hydra" version | grep -qwF "$version" || fail "hydra version"
  "$root/usr/bin/containerd-shim-hydra-v1" -v | grep -qwF "$version" ||
    fail "containerd-shim-hydra-v1 -v"
}

# run_container OPTIONS COMMAND...: to its end, with the file of options.
run_container() {
  local options=$1
  shift
  engine_ctr run --rm --runtime "$runtime" --snapshotter "$snapshotter" \
    --runtime-config-path "$options" "$image" "$container" "$@"
}

# Its instance is in the root, so that the package sees it.
check_container() {
  local options=$root/etc/hydra/options.toml shown monitor pid
  engine_init "$work/engine" "${work##*/}"
  export HYDRA_RUN_DIR=$root/run/hydra HYDRA_STATE_DIR=$root/var/lib/hydra
  PATH=$root/usr/bin:/usr/sbin:/usr/bin:/sbin:/bin engine_start ||
    fail "containerd does not start"
  snapshotter=$(engine_snapshotter)
  engine_import_busybox "$image" "$snapshotter" >/dev/null
  [ "$(run_container "$options" /bin/echo well)" = well ] || fail "no container"
  # What the file shows is what there is: but for places that are not ours.
  sed -n '/^#\(Root\|ShimCgroup\) /d;s/^#\([A-Za-z_[]*\( =.*\)*\]*\)$/\1/p' \
    "$options" >"$work/options.toml"
  shown=$(grep -cE '^(BinaryName|SystemdCgroup|protocol|policy|\[[a-z]+\]$)' \
    "$work/options.toml")
  [ "$shown" = 6 ] || fail "no options to try"
  [ "$(run_container "$work/options.toml" /bin/echo well)" = well ] ||
    fail "the options that are comments"

  run_container "$options" /bin/sleep 1000 &
  ctr=$!
  engine_wait 30 is_running || fail "the container does not run"
  pid=$(engine_ctr tasks list | awk -v id="$container" '$1 == id { print $2 }')
  monitor=$(awk '{ print $4 }' "/proc/$pid/stat")
  [ "$(readlink "/proc/$monitor/exe")" = "$root/usr/bin/hydra-monitor" ] ||
    fail "another Hydra runs it"
}

is_running() {
  engine_ctr tasks list | grep "^$container .*RUNNING" >/dev/null
}

nothing_runs() {
  [ -z "$(engine_processes)" ]
}

check_examples() {
  local examples=$root/usr/share/doc/containerd-shim-hydra/examples
  containerd --config "$examples/containerd/config-v2.toml" config dump \
    2>/dev/null | grep -A 2 'runtimes.hydra\]' >/dev/null ||
    fail "containerd does not know the runtime of its example"
  grep -q '"runtimeType": "io.containerd.hydra.v1"' \
    "$examples/docker/daemon.json" || fail "the example of daemon.json"
}

[ "$(id -u)" -eq 0 ] || skip "it installs a package, so it must run as root"
make_package "$build"
trap clean_up EXIT
trap 'exit 130' INT TERM
engine_dir=$work/engine
engine_address=$work/engine/containerd.sock

check_fields
check_contents
make_root
list_root >"$work/before"
root_dpkg --install "$package" || { cat "$work/dpkg.log"; fail "no install"; }
check_programs
check_examples
check_container

# Not away from under a container.
root_dpkg --purge containerd-shim-hydra && fail "removed under a container"
grep -q "^$container\$" "$work/dpkg.log" || { cat "$work/dpkg.log"; fail "why"; }
engine_ctr tasks kill --signal KILL "$container"
wait "$ctr" || [ $? -eq 137 ] || fail "the container's status"
engine_stop
engine_wait 20 nothing_runs || fail "processes are left"

root_dpkg --purge containerd-shim-hydra || { cat "$work/dpkg.log"; fail "purge"; }
list_root | diff "$work/before" - || fail "the package leaves this"
