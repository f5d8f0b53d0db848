#!/bin/bash
# Makes the compatibility table of the engine matrix's last run, in Markdown:
# each scenario on each engine, with Hydra and with the engine's own shim.
#
# usage: test/engines/table.sh [--write] [BUILD_DIRECTORY]
#   --write  puts it into README.md, between its two marks; without it, the
#            table goes to standard output
#
# BUILD_DIRECTORY (build) has what `test/run.sh --engines` leaves: the results
# in log/engines*.xml, as ctest writes them, and the engines' versions.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source-path=SCRIPTDIR/../..
. "$root/packaging/lib/output.sh"

readonly first_mark='<!-- test/engines/table.sh: from here -->'
readonly last_mark='<!-- test/engines/table.sh: to here -->'

# upstream_version PACKAGE VERSIONS_FILE: "1.6.20" of "1.6.20~ds1-1+deb12u3".
upstream_version() {
  awk -v name="$1" '$1 == name { sub(/[~+-].*/, "", $2); print $2 }' "$2"
}

# engine_versions: a line for each suite that was fetched, for the table's
# heads: "SUITE CONTAINERD DOCKER".
engine_versions() {
  local file suite
  for file in "$build"/engines/*/versions; do
    suite=$(basename "$(dirname "$file")")
    printf '%s %s %s\n' "$suite" "$(upstream_version containerd "$file")" \
      "$(upstream_version docker.io "$file")"
  done
}

# results: a line for each test, "NAME<tab>RESULT<tab>REASON", where RESULT is
# passed, failed, different or skipped. A test that was run again is there
# twice, and its last line counts.
results() {
  local log=$build/log file files=()
  for file in engines engines-again engines-reference engines-reference-again
  do
    [ ! -s "$log/$file.xml" ] || files+=("$log/$file.xml")
  done
  awk '
    function plain(text) {
      gsub(/&apos;/, "\047", text)
      gsub(/&quot;/, "\"", text)
      gsub(/&lt;/, "<", text)
      gsub(/&gt;/, ">", text)
      gsub(/&amp;/, "\\&", text)
      return text
    }
    function attribute(name) {
      if (!match($0, " " name "=\"[^\"]*\"")) return ""
      return substr($0, RSTART + length(name) + 3,
                    RLENGTH - length(name) - 4)
    }
    /<testcase / {
      test = plain(attribute("name"))
      result = attribute("status") == "run" ? "passed" : "failed"
      reason = ""
    }
    /<skipped / { result = "skipped" }
    match($0, /SKIPPED: |DIFFERENCE: ?/) {
      if (/DIFFERENCE: / && result == "skipped") result = "different"
      reason = plain(substr($0, RSTART + RLENGTH))
    }
    /<\/testcase>/ { printf "%s\t%s\t%s\n", test, result, reason }
  ' "${files[@]}"
}

# day: of the results.
day() {
  sed -n 's/.*timestamp="\([0-9-]*\)T.*/\1/p;T;q' "$build/log/engines.xml"
}

# table: all of it.
table() {
  awk -F '\t' -f "$root/test/engines/table.awk" \
    -v kernel="$(uname -r | cut -d. -f1,2)" -v day="$(day)" \
    -v runc="$(runc --version | sed -n '1s/.* \([0-9.]*\).*/\1/p')" \
    <(engine_versions) <(results)
}

# write FILE: what comes in, between the marks.
write_into() {
  local fresh
  if [ "$(grep -cxF -e "$first_mark" -e "$last_mark" "$1")" -ne 2 ]; then
    cannot "$1 does not have both marks"
  fi
  fresh=$(mktemp "$1.XXXXXX")
  {
    sed "/^$first_mark_pattern\$/q" "$1"
    echo
    cat
    echo
    sed -n "/^$last_mark_pattern\$/,\$p" "$1"
  } >"$fresh"
  chmod --reference="$1" "$fresh"
  mv "$fresh" "$1"
}
readonly first_mark_pattern=${first_mark//\//\\\/}
readonly last_mark_pattern=${last_mark//\//\\\/}

write=
[ "${1-}" != --write ] || { write=yes && shift; }
[ $# -le 1 ] || cannot "usage: test/engines/table.sh [--write] [DIRECTORY]"
build=${1-$root/build}
[ -s "$build/log/engines.xml" ] ||
  cannot "There are no results in $build/log: run test/run.sh --engines."
text=$(table)
if [ -n "$write" ]; then
  write_into "$root/README.md" <<<"$text"
else
  printf '%s\n' "$text"
fi
