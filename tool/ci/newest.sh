#!/bin/sh
# Takes the newest release of every crate into this checkout, also of those of EPICS, which are pinned, and says which are newer than
# ours. The scheduled job of tool.yml tests with them; `git checkout .` takes it back.
set -eu
cd "$(dirname "$0")/../.."
sed -i 's/ = "=[0-9.]*"$/ = "*"/' tool/embedded/Cargo.toml
for manifest in tool/embedded/Cargo.toml tool/Cargo.toml Cargo.toml; do
    said=$(cargo update --color never --manifest-path "$manifest" 2>&1) || { echo "$said" >&2; exit 1; }
    printf '%s\n' "$manifest:" "$said" ''
    printf '%s\n' "    $manifest" "$said" '' >>"${GITHUB_STEP_SUMMARY:-/dev/null}"
done
