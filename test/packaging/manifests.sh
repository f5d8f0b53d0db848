#!/bin/bash
# The manifests of packaging/kubernetes, as kubectl reads them without a
# cluster: it knows every field of a DaemonSet, and drops what is none.
#
# usage: manifests.sh
#
# exit code: 0 all is well, 1 not, 77 there is no kubectl.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR
. "$here/package.sh"

readonly kubernetes=$here/../../packaging/kubernetes
# Nobody's cluster.
export KUBECONFIG=/dev/null

# local_kubectl FILE VERB...: what it makes of FILE.
local_kubectl() {
  local file=$1
  shift
  kubectl "$@" --local -f "$file" -o yaml
}

# The names of fields in a file, which has comments, or in kubectl's answer.
# What that adds by itself is not looked for.
fields() {
  sed -n 's/^[- ]*\([A-Za-z]*\):.*/\1/p' | sort -u
}

command -v kubectl >/dev/null || skip "kubectl is not installed"
work=$(mktemp -d /tmp/hydra-packaging-XXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# A DaemonSet's pods are typed, and nothing is lost.
local_kubectl "$kubernetes/node.yaml" set env TESTED=yes >"$work/typed"
[ "$(grep -c '^kind: DaemonSet' "$work/typed")" = 2 ] || fail "two DaemonSets"
[ "$(grep -c 'name: TESTED' "$work/typed")" = 2 ] || fail "their containers"
fields <"$kubernetes/node.yaml" >"$work/wanted"
fields <"$work/typed" | comm -23 "$work/wanted" - >"$work/lost"
[ ! -s "$work/lost" ] || fail "node.yaml: no such fields: $(cat "$work/lost")"

local_kubectl "$kubernetes/runtimeclass.yaml" label tested=yes >"$work/class"
for line in 'apiVersion: node.k8s.io/v1' 'handler: hydra' \
  '    memory: 1500Ki' '    hydra: installed'; do
  grep -qxF -- "$line" "$work/class" || fail "runtimeclass.yaml: $line"
done
# A node that is labelled for one is not for the other.
grep -q 'hydra: installed' "$work/typed" || fail "who gets it"
grep -q 'hydra: removed' "$work/typed" || fail "who is rid of it"
