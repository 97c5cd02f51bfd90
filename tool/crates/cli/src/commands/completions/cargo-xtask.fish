# Completion of `cargo xtask` for fish. All else of cargo is completed as before.

function __cargo_xtask
    set -l root $PWD
    while not test -f $root/xtask/Cargo.toml
        test -n "$root"; or return
        set root (string replace -r '/[^/]*$' '' -- $root)
    end
    set -l target $root/target
    set -q CARGO_TARGET_DIR; and set target $CARGO_TARGET_DIR
    set -l words (commandline -opc)
    set -l typed (commandline -ct)
    # The program itself tells what can come next: it knows its options, and the checks.
    set -l found (CARGO_MANIFEST_DIR=$root/xtask $target/debug/xtask complete -- $words[3..-1] "$typed" 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\n' $found
    else
        __fish_complete_path "$typed"
    end
end

complete -c cargo -n '__fish_seen_subcommand_from xtask' -f -a '(__cargo_xtask)'
