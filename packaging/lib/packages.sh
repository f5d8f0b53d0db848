# The Debian packages that the project needs, and how they get installed.
# Sourced by bash after output.sh.
# shellcheck shell=bash
# shellcheck disable=SC2034  # the lists are for those who source this

# To build the binaries and to run a container with them.
readonly HYDRA_BUILD_PACKAGES=(
  g++ cmake ninja-build pkg-config
  libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc
  libabsl-dev libc-ares-dev libdbus-1-dev libre2-dev libssl-dev zlib1g-dev
  nlohmann-json3-dev libcli11-dev libtomlplusplus-dev catch2
  containerd runc busybox-static iproute2
)

# What only the tests use besides; libdevmapper1.02.1 is for Docker, which is
# not installed itself. Any kubectl will do, and two cannot be installed.
HYDRA_TEST_PACKAGES=(
  criu dbus e2fsprogs groff python3-grpcio systemd spin valgrind zsh
  clang-14 libclang-rt-14-dev libdevmapper1.02.1
)
command -v kubectl >/dev/null || HYDRA_TEST_PACKAGES+=(kubernetes-client)
readonly HYDRA_TEST_PACKAGES

# missing_packages NAME...: those of them that are not installed, in a line.
missing_packages() {
  local installed name missing=()
  installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "$@" \
    2>/dev/null) || true
  for name in "$@"; do
    grep -qxF "$name installed" <<<"$installed" || missing+=("$name")
  done
  printf '%s' "${missing[*]}"
}

# install_packages LOG NAME...: installs what is missing, and touches neither
# apt nor the network if nothing is. Ends the script if it cannot.
#
# containerd's package would start the system's own containerd, which nothing
# here wants: policy-rc.d forbids that for the time of the installation (see
# invoke-rc.d(8)), unless the machine has a policy of its own.
install_packages() {
  local log=$1 missing
  shift
  command -v apt-get >/dev/null ||
    cannot "This needs Debian 12: there is no apt-get here."
  missing=$(missing_packages "$@")
  [ -n "$missing" ] || return 0
  [ "$(id -u)" -eq 0 ] || cannot "Packages are missing: $missing" \
    "Install them as root: apt-get install $missing"
  # shellcheck disable=SC2086  # a list of names
  (_apt_install $missing) >>"$log" 2>&1 </dev/null && return 0
  cannot "Packages are missing and could not be installed: $missing" \
    "Is there a network? What apt-get said is in $log." \
    "With them installed, no network is needed:" \
    "  apt-get install --no-install-recommends $missing"
}

# In a subshell, because it sets traps.
_apt_install() {
  local policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  apt-get update -o APT::Update::Error-Mode=any &&
    DEBIAN_FRONTEND=noninteractive apt-get install -y \
      --no-install-recommends "$@"
}
