# What the project's scripts say, and how they give up. Sourced by bash.
#
# Exit codes of every script: 0 all went well, 1 something failed, 2 it could
# not be tried here.
# shellcheck shell=bash

# Microseconds since the epoch.
now_us() {
  printf '%s' "${EPOCHREALTIME/[.,]/}"
}

# elapsed START_US: seconds since then, as "12.3 s".
elapsed() {
  local us=$(($(now_us) - $1))
  printf '%d.%d s' $((us / 1000000)) $((us % 1000000 / 100000))
}

# elapsed_ms START_US: the same, as "12 ms".
elapsed_ms() {
  printf '%d ms' $((($(now_us) - $1) / 1000))
}

# cannot TEXT...: ends the script, because this machine lacks something.
cannot() {
  printf '%s\n' "$@" >&2
  exit 2
}

# need_root SCRIPT WHY
need_root() {
  if [ "$(id -u)" -ne 0 ]; then
    cannot "$1 must run as root: $2." "Try: sudo $1"
  fi
}
