"""A real control group with a limit of memory, version 1 or 2: whichever may be made here.
Standard library only; needs root, or a group that was given to this user."""
import contextlib
import os
import pathlib
import time

ROOT = pathlib.Path("/sys/fs/cgroup")
REMOVED_WITHIN = 10  # seconds: the kernel keeps a group for a moment after its last process
# It becomes the process that it is told to run, so that nothing runs outside meanwhile.
ENTER = 'echo $$ > "$1/cgroup.procs" && shift && exec "$@"'


def own_path(controller):
    """Of this process's group, below the controller's mount; "" for version 2."""
    for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return path.lstrip("/")
    return None


def field(text, key):
    return next((int(line.split()[1]) for line in text.splitlines()
                 if line.split()[:1] == [key]), 0)


class Version1:
    def __init__(self, folder):
        self.folder = folder

    def set_limit(self, size):
        (self.folder / "memory.limit_in_bytes").write_text(str(size))
        swap = self.folder / "memory.memsw.limit_in_bytes"
        with contextlib.suppress(OSError):  # without swap accounting it is not there
            swap.write_text(str(size))

    def kills(self):
        return field((self.folder / "memory.oom_control").read_text(), "oom_kill")

    def peak(self):
        return int((self.folder / "memory.max_usage_in_bytes").read_text())

    def held(self):
        """What no file could give back."""
        text = (self.folder / "memory.stat").read_text()
        return field(text, "total_rss") + field(text, "total_shmem")


class Version2:
    def __init__(self, folder):
        self.folder = folder

    def set_limit(self, size):
        (self.folder / "memory.max").write_text(str(size))
        with contextlib.suppress(OSError):
            (self.folder / "memory.swap.max").write_text("0")

    def kills(self):
        return field((self.folder / "memory.events").read_text(), "oom_kill")

    def peak(self):
        with contextlib.suppress(OSError):  # since Linux 5.19
            return int((self.folder / "memory.peak").read_text())
        return int((self.folder / "memory.current").read_text())

    def held(self):
        text = (self.folder / "memory.stat").read_text()
        return field(text, "anon") + field(text, "shmem")


def candidates():
    """(version, the folder to make a group in), the nearest first."""
    for controller, mount, version in (("memory", ROOT / "memory", Version1), ("", ROOT, Version2)):
        own = own_path(controller)
        if own is None or (version is Version2 and
                           not (mount / "cgroup.controllers").is_file()):
            continue
        for folder in {mount / own: 0, (mount / own).parent: 0, mount: 0}:
            if folder == mount or mount in folder.parents:
                yield version, folder


def make(size, name):
    """(group, why not)."""
    why = "no controller of memory is mounted at /sys/fs/cgroup"
    for version, parent in candidates():
        folder = parent / name
        try:
            folder.mkdir()
        except OSError as error:
            why = f"{parent} takes no new group ({error.strerror})"
            continue
        try:
            group = version(folder)
            group.set_limit(size)
            return group, None
        except OSError as error:
            why = f"{folder} takes no limit of memory ({error.strerror})"
            folder.rmdir()
    return None, why


@contextlib.contextmanager
def limited(size):
    """(group or None, why there is none): a group that may use `size` bytes, gone at the end."""
    group, why = make(size, f"aioss-test-{os.getpid()}")
    try:
        yield group, why
    finally:
        if group:
            remove(group.folder)


def remove(folder):
    deadline = time.monotonic() + REMOVED_WITHIN
    while True:
        try:
            return folder.rmdir()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def enter(group):
    """The beginning of a command that runs the rest of it in the group."""
    return ["sh", "-c", ENTER, "sh", str(group.folder)]
