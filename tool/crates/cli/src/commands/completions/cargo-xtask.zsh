#compdef -
# Completion of `cargo xtask` for zsh: cargo's own completion calls this function for its subcommand `xtask`.

_cargo-xtask() {
    local root=$PWD line
    local -a found
    until [[ -f $root/xtask/Cargo.toml ]]; do
        [[ -n $root ]] || { _files; return }
        root=${root%/*}
    done
    # The program itself tells what can come next: it knows its options, and the checks.
    CARGO_MANIFEST_DIR=$root/xtask ${CARGO_TARGET_DIR:-$root/target}/debug/xtask complete -- "${(@)words[2,CURRENT]}" 2>/dev/null |
        while IFS= read -r line; do
            found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
        done
    if (( $#found )); then _describe 'cargo xtask' found; else _files; fi
}

# Where cargo has no completion of its own.
if (( ! ${+_comps[cargo]} )); then
    _cargo_only_xtask() {
        if [[ $words[2] == xtask ]] && (( CURRENT > 2 )); then
            shift words
            (( CURRENT-- ))
            _cargo-xtask
        else
            _default
        fi
    }
    compdef _cargo_only_xtask cargo
fi
