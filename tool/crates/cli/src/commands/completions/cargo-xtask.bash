# Completion of `cargo xtask` for bash. All else of cargo is completed as before.

_cargo_xtask() {
    local root=$PWD
    until [[ -f $root/xtask/Cargo.toml ]]; do
        [[ $root ]] || return 0
        root=${root%/*}
    done
    # The program itself tells what can come next: it knows its options, and the checks.
    mapfile -t COMPREPLY < <(
        CARGO_MANIFEST_DIR=$root/xtask "${CARGO_TARGET_DIR:-$root/target}/debug/xtask" \
            complete -- "${COMP_WORDS[@]:2:COMP_CWORD-1}" 2>/dev/null | cut -f 1
    )
}

_cargo_with_xtask() {
    if [[ ${COMP_WORDS[1]-} == xtask ]] && ((COMP_CWORD > 1)); then
        _cargo_xtask
        return
    fi
    if [[ -z $_cargo_without_xtask ]]; then
        # bash-completion loads cargo's own part when it is needed; then that is registered in our place.
        if declare -F _comp_load >/dev/null; then
            _comp_load cargo
        elif declare -F _completion_loader >/dev/null; then
            _completion_loader cargo
        fi
        _cargo_take_over
    fi
    [[ -z $_cargo_without_xtask ]] || "$_cargo_without_xtask" "$@"
}

_cargo_take_over() {
    local now
    now=$(complete -p cargo 2>/dev/null)
    if [[ $now =~ -F\ ([^ ]+) && ${BASH_REMATCH[1]} != _cargo_with_xtask ]]; then
        _cargo_without_xtask=${BASH_REMATCH[1]}
    fi
    complete -o bashdefault -o default -F _cargo_with_xtask cargo
}

: "${_cargo_without_xtask=}"
_cargo_take_over
