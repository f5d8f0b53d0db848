# What the tests of the package share. Sourced by bash.
#
#   skip WHY              ends the script as ctest's skipped
#   fail WHY              ends the script
#   make_package BUILD    makes the package; sets $work, a directory to be
#                         removed, and $package, a file in it
#   field NAME            of the package
# shellcheck shell=bash

work=
package=

skip() {
  echo "SKIPPED: $1"
  exit 77
}

fail() {
  echo "FAILED: $1"
  exit 1
}

# Builds nothing: what there is.
make_package() {
  work=$(mktemp -d /tmp/hydra-packaging-XXXXXX)
  if ! cpack --config "$1/CPackConfig.cmake" -B "$work/cpack" \
    >"$work/cpack.log" 2>&1; then
    cat "$work/cpack.log"
    rm -rf "$work"
    fail "there is no package"
  fi
  package=$(echo "$work"/cpack/*.deb)
}

field() {
  dpkg-deb -f "$package" "$1"
}
