"""Where in the script something happened, and how a failure is told."""
import os
import sys
import threading

SCRIPT = "<string>"  # file name of the script's code, as in the real driver
HERE = os.path.dirname(os.path.abspath(__file__))


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


def script_frames(error):
    """[(line, function)] of the script's frames in a traceback, outermost first."""
    frames, tb = [], error.__traceback__
    while tb is not None:
        if is_script(tb.tb_frame):
            frames.append((tb.tb_lineno, tb.tb_frame.f_code.co_name))
        tb = tb.tb_next
    return frames


def where(error):
    """Line of the script to blame for an error, or None."""
    if isinstance(error, SyntaxError) and error.filename == SCRIPT:
        return error.lineno
    frames = script_frames(error)
    return frames[-1][0] if frames else None


def source(text, line):
    """One line of the script, without its indentation; "" where there is none (code made by exec)."""
    lines = text.split("\n")
    return lines[line - 1].strip() if line and line <= len(lines) else ""


def short(error, text):
    """The report on a failed assertion: frames of the script only."""
    out = ["Traceback (most recent call last):"]
    for line, function in script_frames(error):
        out.append(f'  File "{SCRIPT}", line {line}, in {function}')
        out.append(f"    {source(text, line)}")
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
