#!/bin/bash
# Whether what `hydra` says of itself can be used: the man page by man, the
# completions by their shells.
#
# usage: test/command/check.sh man|bash|zsh DIRECTORY
#   DIRECTORY  where hydra.1, hydra.bash and _hydra are
# exit codes: 0 all is well, 1 it is not, 77 the program to try it with misses
set -uo pipefail

readonly what=$1 directory=$2
status=0

fail() {
  printf 'FAILED: %s\n' "$*" >&2
  status=1
}

# needs PROGRAM
needs() {
  command -v "$1" >/dev/null && return
  echo "SKIPPED: there is no $1 on this machine"
  exit 77
}

# offers WANTED LINE WORDS: that what a shell offered has a word.
offers() {
  tr ' ' '\n' <<<"$3" | grep -qxF -- "$1" || fail "\"$2\" offers: $3"
}

check_man() {
  needs groff
  local text warnings verb
  warnings=$(groff -man -Tutf8 -ww -z "$directory/hydra.1" 2>&1)
  [ -z "$warnings" ] || fail "groff: $warnings"
  text=$(groff -man -Tutf8 -P-c -P-b -P-u "$directory/hydra.1")
  while read -r verb; do
    grep -q "hydra $verb" <<<"$text" || fail "no word of $verb"
  done < <(verbs)
}

# The verbs, as the completion has them.
verbs() {
  sed -n 's/^  local verbs="\(.*\)"$/\1/p' "$directory/hydra.bash" | tr ' ' '\n'
}

# complete_bash WORD...: what bash offers for the last of them.
complete_bash() {
  COMP_WORDS=("$@")
  COMP_CWORD=$(($# - 1))
  COMPREPLY=()
  _hydra
  printf '%s\n' "${COMPREPLY[*]}"
}

check_bash() {
  # shellcheck source=/dev/null
  . "$directory/hydra.bash"
  [ "$(verbs | wc -l)" -ge 26 ] || fail "verbs: $(verbs)"
  offers restart 'hydra re' "$(complete_bash hydra re)"
  offers --restart 'hydra run --re' "$(complete_bash hydra run --re)"
  offers json 'hydra ps --format ' "$(complete_bash hydra ps --format '')"
  # Both containers, from a command that answers as `hydra ps -aq` does.
  hydra() { [ "$*" = "ps -aq" ] && printf 'web\nwork\n'; }
  offers web 'hydra stop w' "$(complete_bash hydra stop w)"
  offers work 'hydra stop w' "$(complete_bash hydra stop w)"
}

check_zsh() {
  needs zsh
  local said
  zsh -n "$directory/_hydra" || fail "zsh does not parse it"
  # What is offered is seen only on a terminal, so one is made: zpty.
  said=$(HYDRA_DIRECTORY=$directory zsh -f <<'EOF'
zmodload zsh/zpty
zpty shell 'PS1= ZDOTDIR=/nonexistent zsh -f -i'
line() { zpty -w shell "$1" }
line "fpath=($HYDRA_DIRECTORY \$fpath); autoload -U compinit; compinit -u -D"
line "zstyle ':completion:*' list-prompt ''; LISTMAX=0; stty rows 100 columns 200"
line "print -r -- rea''dy"
read_until() {
  local all part
  for ((i = 0; i < 400; ++i)); do
    if zpty -r -t shell part; then all+=$part; else sleep 0.05; fi
    [[ $all == *$1* ]] && break
  done
  print -r -- $all
}
read_until ready >/dev/null
zpty -w -n shell $'hydra run --res\t'
read_until restart
EOF
)
  grep -q -- '--restart' <<<"$said" ||
    fail "\"hydra run --res\" is completed to: $said"
}

"check_$what"
exit "$status"
