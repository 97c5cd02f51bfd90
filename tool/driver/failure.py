"""Where in the script something happened, and how a failure is told."""
import os
import sys
import threading

SCRIPT = "<string>"  # file name of the script's code, as in the real driver
HERE = os.path.dirname(os.path.abspath(__file__))
helpers = None  # folder of the modules that the script may import


def is_script(frame):
    """Code that dataclasses and the like generate also calls its file `<string>`, but lives in a named module."""
    return frame.f_code.co_filename == SCRIPT and "__name__" not in frame.f_globals


def script_line(frame=None):
    """Line of the script that is being run by this thread, or by that of a frame; None outside of it."""
    frame = frame or sys._getframe(1)
    while frame is not None:
        if is_script(frame):
            return frame.f_lineno
        frame = frame.f_back
    return None


def import_from(folder):
    """Lets the script import the modules of a folder. Those of Python itself go first, as in the driver that Nix builds."""
    global helpers
    helpers = folder
    site = (n for n, path in enumerate(sys.path) if path.endswith(("site-packages", "dist-packages")))
    sys.path.insert(next(site, len(sys.path)), folder)


def is_helper(frame):
    return helpers is not None and frame.f_code.co_filename.startswith(helpers + os.sep)


def own_frames(error):
    """[(frame, line)] of the script and its helpers in a traceback, outermost first."""
    frames, tb = [], error.__traceback__
    while tb is not None:
        if is_script(tb.tb_frame) or is_helper(tb.tb_frame):
            frames.append((tb.tb_frame, tb.tb_lineno))
        tb = tb.tb_next
    return frames


def helper_name(path):
    """The file of a helper as the user knows it: checks/lib/…"""
    return os.path.relpath(path, os.path.join(helpers, os.pardir, os.pardir))


def where(error):
    """Line of the script to blame for an error, or None."""
    if isinstance(error, SyntaxError) and error.filename == SCRIPT:
        return error.lineno
    lines = [line for frame, line in own_frames(error) if is_script(frame)]
    return lines[-1] if lines else None


def source(text, line):
    """One line of the script, without its indentation; "" where there is none (code made by exec)."""
    lines = text.split("\n")
    return lines[line - 1].strip() if line and line <= len(lines) else ""


def short(error, text):
    """The report on a failed assertion: frames of the script and its helpers only."""
    import linecache
    out = ["Traceback (most recent call last):"]
    for frame, line in own_frames(error):
        file = frame.f_code.co_filename
        out.append(f'  File "{file}", line {line}, in {frame.f_code.co_name}')
        out.append(f"    {source(text, line) if is_script(frame) else linecache.getline(file, line).strip()}")
    return out + [""] + f"{type(error).__name__}: {error}".splitlines()


def full(error, text):
    """Python's own report, without the driver's frames and with the script's source lines."""
    import linecache
    import traceback
    linecache.cache[SCRIPT] = (len(text), None, text.replace("\n", "\n\0").split("\0"), SCRIPT)
    report = traceback.TracebackException.from_exception(error)
    seen, todo = set(), [report]
    while todo:
        part = todo.pop()
        if part is None or id(part) in seen:
            continue
        seen.add(id(part))
        part.stack[:] = [f for f in part.stack if not ours(f.filename)]
        todo += [part.__cause__, part.__context__, *(getattr(part, "exceptions", None) or [])]
    return "".join(report.format()).rstrip("\n")


def ours(filename):
    return os.path.dirname(filename) == HERE or os.path.basename(filename) == "contextlib.py"


def limit(seconds, text, logger):
    """Fields of the `failure` event of a script that ran into the limit: where it is, and what it waits for."""
    thread = threading.main_thread().ident
    line, (subtest, block) = script_line(sys._current_frames().get(thread)), logger.under_way(thread)
    message = f"the limit of {seconds:g} seconds was reached" + (f" while {block}" if block else "")
    return {"class": "TimeLimit", "message": message, "line": line, "source": source(text, line), "subtest": subtest,
            "traceback": ""}


def event(error, text, subtest, told):
    """Fields of the `failure` event. `told`: lines on the values that it had."""
    line, message = where(error), str(error)
    if isinstance(error, SystemExit):
        message = f"the script ended the run: sys.exit({error.code!r})"
    message = "\n".join([*([message] if message else []), *told])
    fields = {
        "class": type(error).__name__,
        "message": message,
        "line": line,
        "source": source(text, line),
        "subtest": subtest,
        "traceback": full(error, text),
    }
    unit = getattr(error, "unit", None)
    if unit:
        fields["machine"], fields["unit"] = unit
    return fields
