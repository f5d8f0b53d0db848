#!/bin/bash
# Fetches the engines that the tests run on from Debian's archive, and unpacks
# them beside the system, which it does not touch: apt gets a configuration,
# lists and a cache of its own here, and packages are unpacked, not installed.
# Signatures are checked with Debian's keyring, and sums by apt.
#
# usage: test/engines/fetch.sh [--update] DIRECTORY
#   --update  fetches what has changed since; without it, what is there is good
#
# In DIRECTORY, for each of Debian's suites, which each have other versions:
#   SUITE/usr/...   the programs of containerd, Docker and CNI
#   SUITE/versions  a line for each package: its name and its version
#   SUITE.reason    instead of both: why that suite could not be had
# The exit code is 0 then, too: the tests skip with that reason.
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source-path=SCRIPTDIR/../..
. "$root/packaging/lib/output.sh"

# The suite's name, and what is taken from it. What else these need to run is
# Debian 12's, runc among it: those of later suites want a newer libc.
readonly suites=(
  "bookworm containerd docker.io containernetworking-plugins"
  "trixie containerd docker.io docker-cli"
  "sid containerd docker.io docker-cli"
)
readonly keyring=/usr/share/keyrings/debian-archive-keyring.gpg
readonly download_seconds=300

# mirror: where this machine gets Debian from. apt reads its own configuration,
# in either format, and needs no lists for that.
mirror() {
  local codename
  codename=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
  # shellcheck disable=SC2016  # apt's variables
  apt-get indextargets --format '$(RELEASE) $(REPO_URI)' \
    'Created-By: Packages' 2>/dev/null |
    awk -v codename="$codename" '$1 == codename { print $2; exit }'
}

# private_apt DIRECTORY MIRROR: makes $APT_CONFIG.
private_apt() {
  local entry
  mkdir -p "$1"/state/lists/partial "$1"/cache/archives/partial "$1"/parts
  : >"$1/status"
  for entry in "${suites[@]}"; do
    echo "deb [signed-by=$keyring] $2 ${entry%% *} main"
  done >"$1/sources.list"
  cat >"$1/apt.conf" <<APT
Dir::State "$1/state";
Dir::State::status "$1/status";
Dir::Cache "$1/cache";
Dir::Etc::sourcelist "$1/sources.list";
Dir::Etc::sourceparts "$1/parts";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Sandbox::User "root";
APT
  export APT_CONFIG=$1/apt.conf
}

# The machine's own configuration may forbid the caches, and each call would
# read all lists again.
private_apt_get() {
  timeout "$download_seconds" apt-get \
    -o Dir::Cache::pkgcache=pkgcache.bin \
    -o Dir::Cache::srcpkgcache=srcpkgcache.bin "$@"
}

# candidates PACKAGE/SUITE...: as SUITE/versions has them.
candidates() {
  private_apt_get download --print-uris "$@" 2>>"$log" |
    sed -E "s/^'[^']*' ([^_]*)_([^_]*)_.*/\1 \2/; s/%3a/:/" | sort
}

# fetch_suite DIRECTORY SUITE PACKAGE...: says why on its output if it cannot.
fetch_suite() {
  local directory=$1 suite=$2 new=$1/.new versions package
  shift 2
  set -- "${@/%//$suite}"
  versions=$(candidates "$@")
  if [ "$(wc -l <<<"$versions")" -ne $# ]; then
    echo "Debian's archive does not have all of these here: $*"
    return 1
  fi
  cmp -s "$directory/$suite/versions" <<<"$versions" && return 0
  rm -rf "$new"
  mkdir -p "$new/debs" "$new/tree"
  if ! (cd "$new/debs" && private_apt_get download "$@") >>"$log" 2>&1; then
    echo "these could not be downloaded: $*"
    return 1
  fi
  for package in "$new"/debs/*.deb; do
    dpkg -x "$package" "$new/tree" >>"$log" 2>&1 && continue
    echo "${package##*/} could not be unpacked"
    return 1
  done
  # Only the programs are used.
  rm -rf "$new"/tree/{etc,lib,var} "$new/tree/usr/share"
  printf '%s\n' "$versions" >"$new/tree/versions"
  rm -rf "${directory:?}/$suite"
  mv "$new/tree" "$directory/$suite"
  rm -rf "$new"
}

# complete DIRECTORY: whether every suite is there.
complete() {
  local entry
  for entry in "${suites[@]}"; do
    [ -s "$1/${entry%% *}/versions" ] || return 1
  done
}

# fetch DIRECTORY: all suites.
fetch() {
  local directory=$1 uri reason entry suite packages
  rm -f "$directory"/*.reason
  uri=$(mirror)
  private_apt "$directory/apt" "$uri"
  private_apt_get update >>"$log" 2>&1 ||
    echo "apt-get update failed" >>"$log"
  for entry in "${suites[@]}"; do
    read -r suite packages <<<"$entry"
    # shellcheck disable=SC2086  # a list of names
    reason=$(fetch_suite "$directory" "$suite" $packages) && continue
    # An older one is better than none.
    [ -s "$directory/$suite/versions" ] ||
      printf '%s\n' "$reason; see $log" >"$directory/$suite.reason"
  done
  rm -rf "$directory/apt" "$directory/.new"
}

update=
[ "${1-}" != --update ] || { update=yes && shift; }
[ $# -eq 1 ] || cannot "usage: test/engines/fetch.sh [--update] DIRECTORY"
mkdir -p "$1"
directory=$(cd "$1" && pwd)
log=$directory/fetch.log
exec 9>"$directory/lock"
flock 9
if [ -n "$update" ] || ! complete "$directory"; then
  : >"$log"
  fetch "$directory"
fi
for entry in "${suites[@]}"; do
  suite=${entry%% *}
  if [ -s "$directory/$suite/versions" ]; then
    printf '%s: %s\n' "$suite" "$(paste -sd, "$directory/$suite/versions" |
      sed 's/,/, /g')"
  else
    printf '%s: SKIPPED: %s\n' "$suite" "$(cat "$directory/$suite.reason")"
  fi
done
