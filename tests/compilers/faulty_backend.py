"""A backend that misbehaves as told, registered as an outside package would register it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from scaling_tasks.compilers.base import BackendBase
from scaling_tasks.compilers.contract import Artefact
from scaling_tasks.compilers.options import Options
from scaling_tasks.errors import CompileError, EngineError

CONTENT = b"artefact " * 100


class FaultyEngine:
    """Takes what is whole, and answers with what it is asked."""

    @staticmethod
    def check(options):
        pass

    @staticmethod
    def load(path, options):
        if path.read_bytes() != CONTENT:
            raise EngineError("is not whole", where=str(path))
        return FaultyEngine()

    def run(self, inputs):
        return dict(inputs)

    def close(self):
        pass


class FaultyOptions(Options, frozen=True):
    fault: str = "none"
    pids: str = ""


class FaultyBackend(BackendBase):
    name = engine = "faulty"
    options_type = FaultyOptions
    error_pattern = r"^E[0-9]+:"

    def identity(self, options):
        return {"faulty": "1"}

    def compile(self, job, workdir):
        own = job.options["options"]
        path = workdir / f"{job.unit.stem}.out"
        if "pids" in own:
            own["pids"] = Path(own["pids"])
        getattr(self, own.get("fault", "none"))(path, own)
        return Artefact((path,))

    def none(self, path, own):
        path.write_bytes(CONTENT)
        path.chmod(0o400)

    def no_file(self, path, own):
        say("compiled successfully")

    def empty_file(self, path, own):
        path.touch()

    def truncated(self, path, own):
        path.write_bytes(CONTENT[:10])

    def success_over_error(self, path, own):
        path.write_bytes(CONTENT)
        say("E19999: the configuration was ignored")
        say("CONVERT RESULT SUCCESS:0")

    def compile_error(self, path, own):
        raise CompileError("this operator is unknown", where="node 7", fix="Use another.")

    def crash(self, path, own):
        path.write_bytes(CONTENT[:10])
        say("first words")
        say("fatal: assertion failed in pass 3")
        os.abort()

    def exit_three(self, path, own):
        say("cannot allocate a thing")
        os._exit(3)

    def exception(self, path, own):
        raise ZeroDivisionError("by zero")

    def killed(self, path, own):
        os.kill(os.getpid(), signal.SIGKILL)

    def disk_full(self, path, own):
        raise OSError(28, "No space left on device", str(path))

    def hang(self, path, own):
        # A child in the same group, one that left the group, and this process deaf to polite signals.
        code = "import time; time.sleep(600)"
        children = [
            subprocess.Popen([sys.executable, "-c", code]),
            subprocess.Popen([sys.executable, "-c", code], start_new_session=True),
        ]
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        draft = own["pids"].with_suffix(".draft")
        draft.write_text(" ".join(str(pid) for pid in (os.getpid(), *(child.pid for child in children))))
        draft.rename(own["pids"])
        say("working")
        time.sleep(600)

    def greedy(self, path, own):
        held = []
        while True:
            held.append(b"x" * (8 << 20))

    def greedy_child(self, path, own):
        code = "held = []\nwhile True: held.append(b'x' * (8 << 20))"
        subprocess.run([sys.executable, "-c", code])

    def threads(self, path, own):
        path.write_bytes(CONTENT)
        say("threads " + os.environ.get("OMP_NUM_THREADS", "any"))

    def leaves_a_process(self, path, own):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        own["pids"].write_text(str(child.pid))
        path.write_bytes(CONTENT)


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
