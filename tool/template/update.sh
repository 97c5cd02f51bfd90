#!/bin/sh
# This folder has the user's files as shipped: what `cargo xtask upgrade` compares with, and what tests make projects from.
# Without arguments: copies them here from the project around it, in the repository that the tool comes from.
# With --check: names those that differ, and fails if one does.
set -eu
cd "$(dirname "$0")/../.."
copies=tool/template

# Left out is what upgrades leave alone, and what only the tool's own repository has.
files=$(git -c core.quotePath=false ls-files -- . \
    ':!tool' ':!*.lock' ':!README.md' ':!.ci' ':!.github/workflows/tool.yml')
is_shipped() { # is_shipped FILE
    [ -f "$1" ] && printf '%s\n' "$files" | grep -qxF -- "$1"
}
is_same() { # is_same FILE FILE
    cmp -s "$1" "$2" && [ "$(test -x "$1" || echo no)" = "$(test -x "$2" || echo no)" ]
}

different=$({
    printf '%s\n' "$files"
    find $copies -type f ! -path $copies/update.sh | sed "s,^$copies/,,"
} | sort -u | while IFS= read -r file; do
    if is_shipped "$file"; then
        is_same "$file" "$copies/$file" || printf '%s\n' "$file"
    elif [ -e "$copies/$file" ]; then
        printf '%s\n' "$file"
    fi
done)
[ -n "$different" ] || exit 0

if [ "${1-}" = --check ]; then
    printf 'error: %s is not what is shipped:\n%s\n\nhint: %s/update.sh\n' "$copies" "$different" "$copies" >&2
    exit 1
fi
printf '%s\n' "$different" | while IFS= read -r file; do
    if is_shipped "$file"; then
        mkdir -p "$(dirname "$copies/$file")"
        cp -p "$file" "$copies/$file"
    else
        rm "$copies/$file"
    fi
done
find $copies -type d -empty -delete
