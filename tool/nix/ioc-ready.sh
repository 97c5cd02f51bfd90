#!/usr/bin/env bash
# Waits until the IOC serves clients: it listens on a TCP port, that of Channel Access or whichever st.cmd chose.
# procServ, which stands around it on NixOS, listens on port $1: that one does not count.
# systemd starts it as root, with MAINPID: on NixOS (machine.nix) and in the sandbox (crates/backends/src/units.rs).

serves() {
  local pids=("$MAINPID") at files='' address state inode more
  for ((at = 0; at < ${#pids[@]}; at++)); do
    files+=$(ls -l "/proc/${pids[at]}/fd")
    read -ra more < <(cat "/proc/${pids[at]}"/task/*/children | tr '\n' ' ')
    pids+=("${more[@]}")
  done
  while read -r _ address _ state _ _ _ _ _ inode _; do
    if [[ $state = 0A && $files = *"socket:[$inode]"* ]] && ((16#${address##*:} != ${1:-0})); then return 0; fi
  done < <(cat /proc/net/tcp /proc/net/tcp6)
  return 1
}

pause=0.02
until serves "$@" 2>/dev/null; do
  kill -0 "$MAINPID" 2>/dev/null || exit 1
  if ((SECONDS >= 10)) && [[ $pause = 0.02 ]]; then
    pause=0.5
    echo "the IOC still serves no client: no TCP port of it is open; does st.cmd come to iocInit?"
  fi
  sleep $pause
done
