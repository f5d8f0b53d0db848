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

# table: all of it, from engine_versions and results.
table() {
  awk -F '\t' -v kernel="$(uname -r | cut -d. -f1,2)" -v day="$(day)" \
    -v runc="$(runc --version | sed -n '1s/.* \([0-9.]*\).*/\1/p')" '
    # Of what a scenario gave: a mark, with the number of its reason.
    function mark(suite, area, scenario, runtime,   key) {
      key = suite SUBSEP area SUBSEP scenario SUBSEP runtime
      if (!(key in result)) return ""
      if (result[key] == "passed") return "✓"
      if (result[key] == "skipped") return "–" note(reason[key])
      return "✗" note(reason[key])
    }
    function note(text) {
      if (text == "") return ""
      if (!(text in number)) {
        number[text] = ++notes
        note_text[notes] = text
      }
      return "<sup>" number[text] "</sup>"
    }
    function version(suite, area) {
      if (suite == "all") return way
      return area == "Docker" ? docker[suite] : containerd[suite]
    }
    function count(area, suite, runtime, wanted,   key, part, sum) {
      for (key in result) {
        split(key, part, SUBSEP)
        sum += part[1] == suite && part[2] == area && part[4] == runtime &&
               result[key] ~ wanted
      }
      return sum + 0
    }
    function passed(area, suite, runtime) {
      return count(area, suite, runtime, "passed") " of " \
             count(area, suite, runtime, "passed|failed|different")
    }
    function summary(   a, s) {
      print "| engine | Hydra passes | Go shim passes |\n|---|---|---|"
      for (a = 1; a <= areas; ++a) {
        for (s = 1; s <= suites; ++s) {
          if (!((areas_of[a], suites_of[s]) in has)) continue
          printf "| %s | %s | %s |\n", row(suites_of[s], areas_of[a]),
            passed(areas_of[a], suites_of[s], "hydra.v1"),
            passed(areas_of[a], suites_of[s], "runc.v2")
        }
      }
    }
    function row(suite, area) {
      if (suite == "all") return area ", one version after the other"
      if (area == "CRI") area = "CRI of containerd"
      return area " " version(suite, area)
    }
    function scenarios(area, between,   i, s, line, rule, cells, cell, suite) {
      line = "| " area " |"
      rule = "|---|"
      for (s = 1; s <= suites; ++s) {
        if ((suites_of[s] == "all") != between) continue
        line = line " " version(suites_of[s], area) " |"
        rule = rule "---|"
      }
      cells = ""
      for (i = 1; i <= names; ++i) {
        if (!((area, between, name[i]) in is_of)) continue
        cells = cells "| " name[i] " |"
        for (s = 1; s <= suites; ++s) {
          suite = suites_of[s]
          if ((suite == "all") != between) continue
          cell = mark(suite, area, name[i], "hydra.v1")
          cells = cells " " (cell == "" ? "–" : cell)
          cell = mark(suite, area, name[i], "runc.v2")
          cells = cells " " (cell == "" ? "–" : cell) " |"
        }
        cells = cells "\n"
      }
      if (cells != "") printf "%s\n%s\n%s\n", line, rule, cells
    }
    BEGIN {
      suites = split("bookworm trixie sid all", suites_of, " ")
      areas = split("containerd CRI Docker", areas_of, " ")
    }
    FILENAME == ARGV[1] {
      split($0, part, " ")
      containerd[part[1]] = part[2]
      docker[part[1]] = part[3]
      next
    }
    match($1, /^[a-z]+\/[A-Za-z]+\/[a-z.0-9]+: ?/) {
      split(substr($1, 1, RLENGTH), part, "/")
      sub(/: ?$/, "", part[3])
      scenario = substr($1, RLENGTH + 1)
      gsub(/\|/, "\\|", scenario)
      key = part[1] SUBSEP part[2] SUBSEP scenario SUBSEP part[3]
      result[key] = $2
      reason[key] = $3
      has[part[2], part[1]]
      is_of[part[2], part[1] == "all", scenario]
      if (!(scenario in known)) name[++names] = scenario
      known[scenario]
    }
    END {
      way = containerd["bookworm"] " → " containerd["trixie"] " → " \
            containerd["sid"]
      printf "The run of %s, on Debian 12 with Linux %s and runc %s.\n\n",
        day, kernel, runc
      summary()
      print "\n<details><summary>Every scenario</summary>\n"
      print "In each cell the first mark is Hydra, the second the Go shim of" \
        " the same\nengine: ✓ passes, ✗ fails, – does not apply, or is asked" \
        " of Hydra alone.\n"
      for (a = 1; a <= areas; ++a) {
        scenarios(areas_of[a], 0)
        scenarios(areas_of[a], 1)
      }
      print "</details>\n"
      for (i = 1; i <= notes; ++i) printf "%d. %s.\n", i, note_text[i]
    }
  ' <(engine_versions) <(results)
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
