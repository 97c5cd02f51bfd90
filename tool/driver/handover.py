"""What passes through the shared directory: a machine's root may put links, pipes and devices there at any moment.

So every name is opened from its folder's descriptor and never by following a link; only regular files and folders are read
or written. A link that a machine leaves is followed by hand, and only inside of what is copied.
"""
import errno
import os
import stat
from pathlib import Path

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # the open of a pipe must not wait for a writer
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
LINKS = 40
CHUNK = 1 << 20


class Refused(OSError):
    """Something that is not copied out of a machine."""

    def __init__(self, name, why):
        super().__init__(errno.EINVAL, f"{why}, and is not copied", str(name))


def _copy(source, target, mode, room=None):
    """At most so many bytes of a file, holes left out, and its mode without set-user-ID."""
    with open(source, "rb", buffering=0, closefd=False) as reader, open(target, "wb", buffering=0) as writer:
        while room is None or reader.tell() < room:
            chunk = reader.read(CHUNK if room is None else min(CHUNK, room - reader.tell()))
            if not chunk:
                break
            if chunk.count(0) == len(chunk):
                writer.seek(len(chunk), os.SEEK_CUR)
                continue
            while chunk:
                chunk = chunk[writer.write(chunk):]
        writer.truncate(writer.tell())
        os.fchmod(target, stat.S_IMODE(mode) & 0o777)


def put(source, folder, name):
    """Copies a file or a directory of the host to a new name in an open folder. Links on the host are followed."""
    source = Path(source)
    if source.is_dir():
        os.mkdir(name, 0o700, dir_fd=folder)
        inside = os.open(name, FOLDER, dir_fd=folder)
        try:
            for entry in sorted(os.listdir(source)):
                put(source / entry, inside, entry)
            os.fchmod(inside, stat.S_IMODE(source.stat().st_mode))
        finally:
            os.close(inside)
        return
    with open(source, "rb", buffering=0) as reader:
        _copy(reader.fileno(), os.open(name, NEW, 0o600, dir_fd=folder), os.fstat(reader.fileno()).st_mode)


class _Tree:
    """What is taken: names below an open folder, the first of them the one that was asked for."""

    def __init__(self, folder, source):
        self.folder, self.source = folder, source

    def open(self, names, flags):
        """Opens what lies there; no name of the path may be a link."""
        at = os.dup(self.folder)
        try:
            for name in names[:-1]:
                at, above = os.open(name, FOLDER, dir_fd=at), at
                os.close(above)
            return os.open(names[-1], flags, dir_fd=at)
        finally:
            os.close(at)

    def resolve(self, names):
        """Follows links by their text. Who changes it meanwhile makes `open` fail, no more."""
        done, todo, links = [], list(names), 0
        while todo:
            name = todo.pop(0)
            if name in ("", "."):
                continue
            if name == "..":
                del done[-1:]
            else:
                done.append(name)
                try:
                    link = os.readlink("/".join(done), dir_fd=self.folder)
                except OSError as error:
                    if error.errno != errno.EINVAL:  # not a link
                        raise
                else:
                    links += 1
                    if links > LINKS or link.startswith("/"):
                        raise Refused(self.shown(names), f"is a link to {link}")
                    done.pop()
                    todo = link.split("/") + todo
            if done[:1] != names[:1]:
                raise Refused(self.shown(names), "is a link out of what is copied")
        return done

    def shown(self, names):
        return Path(self.source, *names[1:])

    def take(self, names, target, above=()):
        at = self.open(self.resolve(names), FILE)
        try:
            status = os.fstat(at)
            if stat.S_ISDIR(status.st_mode):
                key = (status.st_dev, status.st_ino)
                if key in above:
                    raise Refused(self.shown(names), "is a link to a folder around it")
                os.makedirs(target, exist_ok=False)
                for entry in sorted(os.listdir(at)):
                    self.take([*names, entry], Path(target, entry), (*above, key))
                os.chmod(target, stat.S_IMODE(status.st_mode) & 0o777 | 0o700)
            elif stat.S_ISREG(status.st_mode):
                made = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
                _copy(at, made, status.st_mode, status.st_size)  # it may grow for ever
            else:
                raise Refused(self.shown(names), "is no file")
        finally:
            os.close(at)


def take(folder, name, target, source):
    """Copies a file or a directory out of an open folder, as shutil.copy and shutil.copytree would. `source` is its name on
    the machine, for errors."""
    target = Path(target)
    if target.is_dir() and not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        target = target / name
    _Tree(folder, source).take([name], target)
