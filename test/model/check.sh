#!/bin/bash
# Checks a Promela model with Spin, in a directory of its own.
#
# usage: check.sh holds|cycles|fails MODEL [-DNAME...]
#   holds   every order of events is searched, and no assertion fails
#   cycles  the same, for a cycle: things that could go on for ever
#   fails   a mutation: a counter-example, to either search, must be found
#
# exit code: 0 as expected, 1 not, 77 there is no Spin.
set -euo pipefail

readonly expected=$1 model=$2
shift 2
readonly defines=("$@")
# Steps of one run, far more than there are: a truncated search is a failure.
readonly depth=100000

if ! command -v spin >/dev/null; then
  echo "SKIPPED: spin is not installed"
  exit 77
fi
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"

# search safety|cycles: 0 nothing found, 1 a counter-example. Ends the script
# if the search itself is not complete.
search() {
  local mode=-DSAFETY arguments=()
  if [ "$1" = cycles ]; then
    mode=-DNP
    arguments=(-l)
  fi
  spin -a "${defines[@]}" "$model" >spin.log || { cat spin.log; exit 1; }
  # Not optimised, which would take longer than it saves; without warnings,
  # for nobody wrote this. The limit is in megabytes.
  cc -O0 -w "$mode" -DCOLLAPSE -DMEMLIM=1000 -o search pan.c
  ./search -n -m"$depth" "${arguments[@]}" >search.log 2>&1
  grep -E '^pan:|errors:|states, stored|total actual|elapsed' search.log
  grep -q 'errors: 1$' search.log && return 1
  if ! grep -q 'errors: 0$' search.log ||
    grep -qiE 'too small|not completed|out of memory' search.log; then
    cat search.log
    exit 1
  fi
}

# The steps that lead to the error, one a line: process, line, statement.
explain() {
  local step='^ *[0-9]*:[ \t]*proc *[0-9]* (\([A-Za-z]*\):1) [^:]*:\([0-9]*\)'
  spin -k "$(basename "$model").trail" -p "${defines[@]}" "$model" 2>&1 |
    sed -n "s/$step[^[]*/\1 \2: /p;/^spin:/p" | tail -n 150
}

case $expected in
  holds) search safety || { explain; exit 1; } ;;
  cycles) search cycles || { explain; exit 1; } ;;
  fails)
    if search safety && search cycles; then
      echo "FAILED: no counter-example: the model does not see this mutation"
      exit 1
    fi
    ;;
  *) echo "$expected?" >&2 && exit 1 ;;
esac
