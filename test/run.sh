#!/bin/bash
# Builds and tests Hydra on Debian 12, as root; installs what is missing first.
# The last line counts the tests that were run, and the exit code says whether
# all is well: 0 yes, 1 no, 2 it could not be tried here.
#
# usage: test/run.sh [--all | --quick | STAGE...]
#   --all          every stage but --bench; without an argument, this
#   --quick        release build, the tests that take seconds (unit, process)
#   --release      release build, all its tests
#   --integration  release build, the tests against containerd, and slow ones
#   --engines      release build, the tests on every version of every engine,
#                  and with the engines' own shims (--all: with one version's);
#                  fetches the engines from Debian's archive the first time.
#                  Alone it leaves the table of what passed, build/log/engines.md
#   --asan         AddressSanitizer and UndefinedBehaviorSanitizer, all tests
#   --tsan         ThreadSanitizer, unit and process tests
#   --fuzz         every fuzz target for a bounded time, with clang
#   --bench        release build, the whole benchmark against containerd's shim
#
# Logs and JUnit files are in build*/log.
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source-path=SCRIPTDIR/..
. "$root/packaging/lib/output.sh"
. "$root/packaging/lib/packages.sh"
. "$root/packaging/lib/build.sh"

readonly engine='^integration$'
readonly reference='^reference$'
readonly fast='^(unit|process)$'
readonly model='^model$'
readonly chaos='^chaos$'
readonly packaging='^packaging$'
readonly engines='^engines$'
readonly engines_reference='^engines-reference$'
# Tests that are much of the same: load, and every verb once more.
readonly repetitive='at once|at the same time|give the same|Watchers do not|version and help|Python'
# Of one test, unless it sets a limit of its own.
readonly test_seconds=300

# More failures than this in one go are no bad luck.
readonly most_again=5

passed=0
failed=0
skipped=0
# "TEXT|STAGE" of everything that went wrong.
troubles=()
# The builds that are made ahead: their processes by preset.
declare -A ahead=()
# Tests that passed only when they were run again.
unstable=()
# What the tests that failed have said.
excerpts=''

usage() {
  sed -n '/^# usage/,/^[^#]/ s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

banner() {
  printf '\n==== %s\n' "$1"
}

# trouble STAGE TEXT
trouble() {
  printf '\n---- FAILED: %s\n' "$2"
  troubles+=("$2|$1")
}

# build_ahead PRESET...: builds what the stages of these presets need, one after
# the other, while others test: tests wait more than half of the time.
build_ahead() {
  local preset log before=''
  for preset in "$@"; do
    log=$(preset_directory "$root" "$preset")/log/ahead.log
    mkdir -p "$(dirname "$log")"
    # With a process group of its own, to be ended or hurried as one.
    set -m
    (
      [ -z "$before" ] || tail --pid="$before" -f /dev/null
      renice -n 19 "$BASHPID" >/dev/null
      # shellcheck disable=SC2046  # a list of targets
      build_preset "$root" "$preset" $(stage_targets "$preset")
    ) >"$log" 2>&1 </dev/null &
    before=$!
    set +m
    ahead[$preset]=$before
  done
}

# Those that nobody has waited for, when the script ends before its time.
end_builds() {
  local builder
  for builder in "${ahead[@]}"; do
    kill -- -"$builder" 2>/dev/null
  done
}

# stage_targets PRESET: what the stage of that name builds of it.
stage_targets() {
  case $1 in
    asan) echo hydra_unit_tests hydra_programs ;;
    tsan) echo hydra_unit_tests ;;
    fuzz) echo hydra_fuzzers ;;
  esac
}

# build STAGE PRESET [TARGET...]: quiet unless it fails.
build() {
  local stage=$1 preset=$2 directory log start
  shift 2
  directory=$(preset_directory "$root" "$preset")
  log=$directory/log/build.log
  start=$(now_us)
  mkdir -p "$directory/log"
  banner "$preset: build"
  if [ -n "${ahead[$preset]-}" ]; then
    # What is left is to have all processors.
    renice -n 0 -g "${ahead[$preset]}" >/dev/null 2>&1
    wait "${ahead[$preset]}"
    unset "ahead[$preset]"
  fi
  if ! build_preset "$root" "$preset" "$@" >"$log" 2>&1 </dev/null; then
    # Enough for the first compiler error of each of two parallel jobs.
    grep -m 1 -A 30 -E '^FAILED|[Ee]rror' "$log" || tail -n 40 "$log"
    trouble "$stage" "$preset build; see $log"
    return 1
  fi
  echo "built in $(elapsed "$start")"
}

# run_tests STAGE PRESET NAME CTEST_ARGUMENT...: NAME says which of the tests.
# A few that failed are run again, one at a time: what fails only while others
# have the processors is told at the end, and is no failure of the whole.
run_tests() {
  local stage=$1 preset=$2 name=$3 directory start status again
  shift 3
  directory=$(preset_directory "$root" "$preset")
  start=$(now_us)
  banner "$preset: $name tests"
  rm -f "$directory/log/$name-again.xml"
  run_ctest "$directory" "$name" "$@"
  status=$?
  count "$directory/log/$name.xml"
  if [ "$status" -ne 0 ]; then
    mapfile -t again < <(failed_tests "$directory")
    excerpts+=$(excerpt "$directory/log/$name.log")$'\n'
    if [ ${#again[@]} -gt 0 ] && [ ${#again[@]} -le "$most_again" ]; then
      banner "$preset: $name tests: again, alone: ${again[*]}"
      if run_ctest "$directory" "$name-again" --rerun-failed; then
        status=0
        passed=$((passed + ${#again[@]}))
        failed=$((failed - ${#again[@]}))
        unstable+=("${again[@]/#/$preset: }")
      fi
    fi
  fi
  echo "took $(elapsed "$start")"
  [ "$status" -eq 0 ] ||
    trouble "$stage" "$preset $name tests; see $directory/log/$name.log"
}

# run_ctest DIRECTORY LOG CTEST_ARGUMENT...
run_ctest() {
  local directory=$1 log=$1/log/$2
  shift 2
  rm -f "$log.xml"
  ctest --test-dir "$directory" --output-on-failure --no-tests=error \
    --timeout "$test_seconds" --output-junit "$log.xml" "$@" 2>&1 </dev/null |
    tee "$log.log"
  return "${PIPESTATUS[0]}"
}

# failed_tests DIRECTORY: the names of those that the last ctest there saw fail.
failed_tests() {
  cut -d: -f2- "$1/Testing/Temporary/LastTestsFailed.log"
}

# excerpt LOG: the tests that failed, each with the beginning of what it said.
excerpt() {
  awk '/ Test +#[0-9]+: / { show = 0 }
       /\*\*\*(Failed|Timeout|Exception|Not Run)/ { show = 25 }
       /^ *Start +[0-9]+: / || /^ *$/ { next }
       show-- > 0' "$1"
}

# attribute NAME LINE
attribute() {
  sed -n "s/.*[ \t]$1=\"\([0-9]*\)\".*/\1/p" <<<"$2"
}

# count JUNIT: adds what ctest wrote to the totals.
count() {
  local suite total bad ignored
  [ -s "$1" ] || return 0
  suite=$(tr '\n' ' ' <"$1" | grep -o '<testsuite [^>]*>')
  total=$(attribute tests "$suite")
  bad=$(attribute failures "$suite")
  ignored=$(($(attribute skipped "$suite") + $(attribute disabled "$suite")))
  passed=$((passed + total - bad - ignored))
  failed=$((failed + bad))
  skipped=$((skipped + ignored))
}

# Processes that Hydra starts again by itself would hide a sanitizer's report,
# so reports go to files, and a file is a failure.
sanitizer_environment() {
  local reports=$1/log/report
  rm -f "$reports".*
  export ASAN_OPTIONS="log_path=$reports:detect_stack_use_after_return=1"
  export UBSAN_OPTIONS="log_path=$reports:halt_on_error=1:print_stacktrace=1"
  export TSAN_OPTIONS="log_path=$reports:halt_on_error=1"
  TSAN_OPTIONS+=":suppressions=$root/test/tsan.suppressions"
}

# sanitizer_reports STAGE PRESET
sanitizer_reports() {
  local report found='' directory
  directory=$(preset_directory "$root" "$2")
  for report in "$directory"/log/report.*; do
    [ -e "$report" ] || continue
    # LeakSanitizer's word on a thread that ended while it looked.
    grep -qv 'Unable to get registers from thread' "$report" || continue
    found=yes
    printf '\n---- %s\n' "$report"
    head -n 40 "$report"
  done
  [ -z "$found" ] ||
    trouble "$1" "$2: sanitizer reports; see $directory/log/report.*"
}

# run_engine_tests STAGE: each test has a containerd of its own, and waits more
# than it works; those that need the machine for themselves come one at a time.
# What containerd's own shim loses now and then is not ours to fail for.
run_engine_tests() {
  run_tests "$1" release integration -L "$engine" -j3
  # The engines' stage has the same of this engine, and of others.
  has_stage engines ||
    run_tests "$1" release reference -L "$reference" -j3 --repeat until-pass:3
  run_tests "$1" release slow \
    -LE "$fast|$engine|$reference|$model|$packaging|$chaos|$engines|$engines_reference"
  run_tests "$1" release chaos -L "$chaos"
}

# The functions stage_NAME are the stages; each may be run alone.

stage_quick() {
  build --quick release || return
  run_tests --quick release fast -L "$fast" -j2
}

stage_release() {
  local preset later=()
  build --release release || return
  run_tests --release release fast -L "$fast" -j2
  for preset in asan tsan fuzz; do
    has_stage "$preset" && later+=("$preset")
  done
  build_ahead "${later[@]}"
  run_tests --release release model -L "$model" -j2
  run_tests --release release packaging -L "$packaging" -j2
  run_engine_tests --release
}

stage_integration() {
  build --integration release || return
  run_engine_tests --integration
}

stage_engines() {
  local ours=() theirs=()
  build --engines release || return
  # Where everything is run: what the release's stage has not had, and of the
  # engines' own shims one, since it is Hydra that changes.
  if has_stage release; then
    ours=(-E '^bookworm/containerd/')
    theirs=(-R '^bookworm/')
  fi
  # They wait more than they compute.
  run_tests --engines release engines -L "$engines" "${ours[@]}" -j4
  run_tests --engines release engines-reference -L "$engines_reference" \
    "${theirs[@]}" -j4 --repeat until-pass:3
  # Of all of them, or it would have gaps.
  has_stage release || "$root/test/engines/table.sh" \
    >"$root/build/log/engines.md" || trouble --engines "the table of the engines"
}

stage_asan() {
  local programs
  # shellcheck disable=SC2046  # a list of targets
  build --asan asan $(stage_targets asan) || return
  # The tests against containerd are those of the release build, which need no
  # sanitizer themselves: half of the time would be their compilation.
  build --asan release hydra_integration_tests || return
  sanitizer_environment "$(preset_directory "$root" asan)"
  run_tests --asan asan fast -L "$fast" -j2
  # Not 500 containers: a sanitized process has tens of megabytes. Nor what is
  # the same over and over, which takes a fourth of the time.
  programs=$(preset_directory "$root" asan)/bin
  HYDRA_TEST_BIN_DIR=$programs run_tests --asan release asan-integration \
    -L "$engine" -R '^hydra' -E "$repetitive" -j3
  unset ASAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS
  sanitizer_reports --asan asan
}

stage_tsan() {
  build --tsan tsan "$(stage_targets tsan)" || return
  sanitizer_environment "$(preset_directory "$root" tsan)"
  run_tests --tsan tsan fast -L "$fast" -j2
  unset ASAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS
  sanitizer_reports --tsan tsan
}

stage_fuzz() {
  build --fuzz fuzz "$(stage_targets fuzz)" || return
  run_tests --fuzz fuzz fuzz -L '^fuzz$' -j2
}

stage_bench() {
  build --bench release || return
  banner "release: benchmark"
  "$root/test/bench/run.sh" --json "$root/build/log/bench.json" \
    --svg "$root/build/log/bench.svg" || trouble --bench "the benchmark"
}

# has_stage NAME: whether it is among those that are run now.
has_stage() {
  [[ " ${stages[*]} " == *" $1 "* ]]
}

main() {
  local stages=() argument stage start log entry note=''
  for argument in "$@"; do
    case $argument in
      --all) stages+=(release engines asan tsan fuzz) ;;
      --quick | --release | --integration | --engines | --asan | --tsan | \
        --fuzz | --bench) stages+=("${argument#--}") ;;
      -h | --help) usage && exit 0 ;;
      *) usage >&2 && cannot "" "test/run.sh: unknown argument: $argument" ;;
    esac
  done
  [ ${#stages[@]} -gt 0 ] || stages=(release engines asan tsan fuzz)
  need_root test/run.sh "the tests mount, use cgroups and run containers"

  start=$(now_us)
  log=$root/build/log/packages.log
  mkdir -p "$root/build/log"
  install_packages "$log" "${HYDRA_BUILD_PACKAGES[@]}" \
    "${HYDRA_TEST_PACKAGES[@]}"

  trap end_builds EXIT
  for stage in "${stages[@]}"; do
    "stage_$stage"
  done

  banner "total: $(elapsed "$start")"
  printf '%s' "$excerpts"
  for entry in "${unstable[@]}"; do
    printf 'UNSTABLE: %s: failed, and passed when run again alone\n' "$entry"
  done
  for entry in "${troubles[@]}"; do
    printf 'FAILED: %s\n        again, alone: test/run.sh %s\n' \
      "${entry%|*}" "${entry##*|}"
  done
  # A build that failed is no test that failed: the line says so itself.
  [ ${#troubles[@]} -eq 0 ] || [ "$failed" -gt 0 ] ||
    note=" (but see FAILED above)"
  printf '%d passed, %d failed, %d skipped%s\n' \
    "$passed" "$failed" "$skipped" "$note"
  [ ${#troubles[@]} -eq 0 ]
}

main "$@"
