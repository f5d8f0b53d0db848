# The table of test/engines/table.sh, in Markdown.
#
# Reads two files, with tabs between the fields of the second:
#   SUITE CONTAINERD DOCKER            versions, a line for each suite
#   SUITE/AREA/RUNTIME:TEST RESULT REASON
# and the variables day, kernel and runc.

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

# A suite that could not be had has none.
function version(suite, area) {
  if (suite == "all") return way
  if (!(suite in containerd)) return suite
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

# One area's, on each engine, or `between` engines.
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
  way = version("bookworm") " → " version("trixie") " → " version("sid")
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
