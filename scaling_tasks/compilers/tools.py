"""Running a compiler's command from the worker process: everything it prints is shown at once and returned."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from scaling_tasks.errors import CompileError
from scaling_tasks.execution.process_trees import die_with_parent

__all__ = ["run_tool"]


def run_tool(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    workdir: Path | None = None,
    reply: Callable[[str], str] | None = None,
) -> tuple[int, str]:
    """Run a command to its end; it is killed when this process dies.

    Args:
        command: What to run.
        environment: Its environment; this process's by default.
        workdir: Its working directory; this process's by default.
        reply: Called with every line that the command writes; what it returns is the command's input.

    Returns:
        Its exit status and everything it wrote to either stream.

    Raises:
        CompileError: It cannot be started.
    """
    try:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL if reply is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=None if environment is None else dict(environment),
            cwd=workdir,
            # The worker that calls this has a single thread, so that running Python in the child is safe.
            preexec_fn=lambda: die_with_parent(signal.SIGKILL),
            text=True,
            errors="replace",
        )
    except OSError as cause:
        raise CompileError(f"cannot be started ({cause.strerror})", where=str(command[0])) from cause
    lines = []
    with process:
        for line in process.stdout or ():
            sys.stdout.write(line)
            sys.stdout.flush()
            lines.append(line)
            if reply is not None and process.stdin is not None and (text := reply(line)):
                with contextlib.suppress(BrokenPipeError):  # Its status says why it ended.
                    process.stdin.write(text)
                    process.stdin.flush()
    return process.returncode, "".join(lines)
