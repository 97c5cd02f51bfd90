#!/bin/sh
# run.sh SECONDS [TARGET...]: fuzzes each target of fuzz_targets/ for so long, or those named, and fails where one does. Needs nightly
# Rust and cargo-fuzz: rustup toolchain install nightly; cargo install cargo-fuzz. What it finds and learns is in target/fuzz.
set -eu
# Absolute, as targets change their folder.
case ${CARGO_TARGET_DIR-} in '' | /*) ;; *) CARGO_TARGET_DIR=$PWD/$CARGO_TARGET_DIR ;; esac
cd "$(dirname "$0")/.."
here=$PWD
seconds=$1
shift
[ $# -gt 0 ] || set -- stream_protocol database startup substitutions makefile frames events journal recording result ioc_toml check_toml unit_file nix_conf
work=${CARGO_TARGET_DIR:-$(dirname "$here")/target}/fuzz

# seeds TARGET: the files it starts from, one a line. words TARGET: the sources that name what it knows.
seeds() {
    case $1 in
    stream_protocol) find embedded/tests template -name '*.proto' ;;
    database) find embedded/tests template e2e/tests/fixtures -name '*.db' ;;
    startup) find embedded/tests template e2e/tests/fixtures -name 'st.cmd' ;;
    substitutions) find embedded/tests -name '*.substitutions' ;;
    makefile) find template e2e/tests/fixtures -name 'Makefile' ;;
    unit_file) find fuzz/seeds -name '*.service' ;;
    nix_conf) find fuzz/seeds -name 'nix.conf' ;;
    ioc_toml) find template e2e/tests/fixtures -name 'ioc.toml' ;;
    check_toml) find template/checks -name '*.toml' ;;
    frames) find fuzz/seeds -name 'frame-*' ;;
    events) find fuzz/seeds -name 'events.jsonl' ;;
    journal) find fuzz/seeds -name 'journal.jsonl' ;;
    recording) find fuzz/seeds -name 'recording.jsonl' ;;
    result) find fuzz/seeds -name 'result.json' ;;
    esac
}
words() {
    case $1 in
    stream_protocol) echo embedded/src/lint/protocol.rs embedded/src/lint/protocol/*.rs ;;
    database | substitutions) echo embedded/src/lint/fields.rs embedded/src/lint/grammar.rs embedded/src/msi/grammar.rs ;;
    startup) echo embedded/src/lint/startup.rs embedded/src/lint/startup/commands.rs embedded/src/lint/shell.rs embedded/src/lint/address.rs ;;
    makefile) find embedded/src/makefile embedded/src/build ;;
    unit_file) find crates/init/src/unit ;;
    nix_conf) find crates/host/src/nixconf ;;
    ioc_toml | check_toml) echo crates/project/src/config.rs crates/project/src/settings.rs ;;
    *) find crates/base/src/protocol ;;
    esac
}

status=0
for target; do
    # As users build them: xtask checks its arithmetic, the soft IOC does not.
    case $target in
    stream_protocol | database | startup | substitutions | makefile) kind="--features soft-ioc --release" folder=$work/soft-ioc ;;
    *) kind=--debug-assertions folder=$work/xtask ;;
    esac
    corpus=$work/corpus/$target
    mkdir -p "$corpus" "$work/seeds/$target" "$work/found"
    seeds "$target" | while IFS= read -r file; do cp "$file" "$work/seeds/$target/$(echo "$file" | tr / _)"; done
    # shellcheck disable=SC2046 # a list of files
    grep -hoE '"[A-Za-z@$#%{(=][^"\\]{1,30}"' -r $(words "$target") | sort -u >"$work/seeds/$target.words"
    # shellcheck disable=SC2086 # a list of words
    FUZZ_SCRATCH="$work/scratch/$target" cargo +nightly fuzz run --fuzz-dir fuzz --target-dir "$folder" --sanitizer none --codegen-units 16 \
        $kind "$target" "$corpus" "$work/seeds/$target" -- -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=20000 \
        -dict="$work/seeds/$target.words" -artifact_prefix="$work/found/$target-" -print_final_stats=1 -verbosity=0 -close_fd_mask=1 || status=1
done
exit $status
