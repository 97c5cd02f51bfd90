"""The type check of scripts, as nixpkgs makes it before it builds a driver: by ty (NixOS 26.05), else by mypy (25.11).

Neither comes with Python. Where none is at hand, types are not checked.
"""
import os
import re
from pathlib import Path

from .problem import Problem

NAMES = Path(__file__).with_name("typings") / "script_names.pyi"
PLACE = re.compile(r"script(?P<script>\d+)\.py:(?P<line>\d+):(?P<column>\d+): error(?:\[(?P<rule>[\w-]+)\])?:? (?P<text>.*)")
MYPY_RULE = re.compile(r" +\[([\w-]+)\]$")
# The driver that Nix builds may have packages that this host has not.
MISSING_MODULE = {"unresolved-import", "import-not-found", "import-untyped", "import"}
HINT = "NixOS builds no driver with it; `skipTypeCheck = true;` in the check's .nix file switches the type check off"
PATIENCE = 60  # seconds


def checker(names):
    """(name, path) of the first type checker on PATH, or None."""
    for name in names:
        for folder in os.environ.get("PATH", "").split(os.pathsep):
            path = os.path.join(folder, name)
            if folder and os.path.isfile(path) and os.access(path, os.X_OK):
                return name, path
    return None


def check(scripts, tool, folder=None, lib=None):
    """Problems of each of the scripts: (text, variables of its machines, numbers of its VLANs). `folder` holds the
    files; they may import the modules of `lib`."""
    groups = {}
    for number, (text, machines, vlans) in enumerate(scripts):
        groups.setdefault((tuple(sorted(machines)), tuple(vlans)), {})[number] = text
    stubs = [(stub(*names), texts) for names, texts in groups.items()]
    problems = [[] for _ in scripts]
    output, shift = (by_ty if tool[0] == "ty" else by_mypy)(tool[1], stubs, folder, lib)
    for line in output.splitlines():
        match = PLACE.match(line)
        if match and int(match["script"]) < len(scripts):
            add(problems[int(match["script"])], match, shift, tool[0])
    return problems


def stub(machines, vlans):
    """The names of the scripts that have these machines."""
    return (NAMES.read_text(encoding="utf-8") + "".join(f"{machine}: QemuMachine\n" for machine in machines)
            + "".join(f"vlan{nr}: _Vlan\n" for nr in vlans))


def add(problems, match, shift, tool):
    text, rule = match["text"], match["rule"]
    if rule is None and MYPY_RULE.search(text):
        rule = MYPY_RULE.search(text)[1]
        text = MYPY_RULE.sub("", text)
    line = int(match["line"]) - shift
    if rule in MISSING_MODULE and "has no member" not in text or line < 1:
        return
    # mypy is stricter here and there than ty, which is what NixOS 26.05 runs.
    severity = "error" if tool == "ty" else "warning"
    problems.append(Problem(line, int(match["column"]), "type-check", f"{tool}: {text}", HINT, severity))


def by_ty(program, stubs, folder, lib):
    """ty takes further names of all modules from a file __builtins__.pyi."""
    import tempfile
    output = []
    for names, texts in stubs:
        with tempfile.TemporaryDirectory(dir=folder, prefix="types-") as place:
            write(place, "__builtins__.pyi", names)
            for number, text in texts.items():
                write(place, f"script{number}.py", text)
            output.append(execute([program, "check", "--project", ".", "--output-format", "concise", "--no-progress",
                                   "--exit-zero", "--python-version", "3.13", *(["--extra-search-path", lib] if lib else []), "."],
                                  place))
    return "\n".join(output), 0


def by_mypy(program, stubs, folder, lib):
    """mypy takes them from an import, which stands before the script."""
    import tempfile
    with tempfile.TemporaryDirectory(dir=folder, prefix="types-") as place:
        for group, (names, texts) in enumerate(stubs):
            write(place, f"names{group}.pyi", re.sub(r"\b_(Vlan|Log|Debug|Retry)\b", r"\1_", names))
            for number, text in texts.items():
                write(place, f"script{number}.py", f"from names{group} import *\n{text}")
        command = [program, "--no-implicit-optional", "--no-color-output", "--no-error-summary", "--show-column-numbers",
                   "--no-pretty", "--hide-error-context", "--config-file", os.devnull, "--cache-dir", os.devnull]
        files = [f"script{number}.py" for _, texts in stubs for number in texts]
        return execute([*command, *files], place, {"MYPYPATH": lib} if lib else {}), 1


def write(folder, name, text):
    Path(folder, name).write_text(text, encoding="utf-8")


def execute(command, folder, more=()):
    """What a checker prints. One that cannot be run or gives no answer finds nothing."""
    import subprocess
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MYPY", "TY_", "FORCE_COLOR"))}
    environment.update(more)
    try:
        run = subprocess.run(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                             timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return ""
    return run.stdout
