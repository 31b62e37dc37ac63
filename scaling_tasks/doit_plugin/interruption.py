"""Leaving nothing behind: signals as interrupts, and workers that end with the process that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from _thread import start_new_thread
from collections.abc import Callable
from types import FrameType, TracebackType

__all__ = ["end_with_parent", "interruptible", "run_is_over", "speak_of_interrupts"]

_GRACE_SECONDS, _WAY_OUT_SECONDS = 5.0, 10.0
_INTERRUPTED = 128 + signal.SIGINT
_LAST_WORDS = "interrupted; what is finished will not be done again\n"
_MOMENT_SECONDS, _ONCE_SECONDS = 0.02, 1.0
_TOLD = (signal.SIGINT, signal.SIGTERM)


class _Fork(threading.local):
    """What this thread's fork in progress needs to know."""

    going_on = False
    parent = 0
    tie: Callable[[int, int], None] | None = None
    mask: set[int] = set()  # noqa: RUF012 - replaced, never changed


_fork = _Fork()
_interrupted = -float("inf")
_tied = False
_prepared = False
# Counts the runs of this process, so that the watch of an interrupted one never ends another; odd while one goes on.
_run = 0
_watched = 0
_imports_around: list[FrameType] = []


def speak_of_interrupts() -> None:
    """Have an interrupt end this process, with one line instead of a traceback; called before anything takes time."""
    global _imports_around
    _imports_around = _imports(sys._getframe())
    if sys.excepthook == _say_interrupted:
        return
    sys.excepthook = _say_interrupted
    sys.unraisablehook = _Unheard(sys.unraisablehook)
    if _is_main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        _handle(_interrupt, signal.SIGINT)


def interruptible() -> None:
    """Make this process, which runs doit, end in order however it is stopped.

    Continuous integration stops a job with SIGTERM; as an interrupt it lets doit close and compilers be stopped.
    Workers that are forked from here end when this process does, even by SIGKILL, when it can no longer tell them.
    """
    global _prepared, _run
    _run += 1 + _run % 2
    speak_of_interrupts()
    if _is_main_thread():
        # In the background of a shell SIGINT is ignored, and stays so.
        _handle(_interrupt, signal.SIGTERM, *([signal.SIGINT] if _is_heeded(signal.SIGINT) else []))
    if not _prepared:
        _prepared = True
        os.register_at_fork(before=_block, after_in_parent=_unblock, after_in_child=_tie)


def run_is_over() -> None:
    """Take an interrupt for one of what this process does after its run of doit: it may take its time to end."""
    global _run
    _run += _run % 2


def _block() -> None:
    """Hold back signals while this thread forks: one that came before the child is tied would leave it an orphan."""
    _fork.going_on = True
    # Imported now: the child is no place to import anything, and most runs fork none.
    from scaling_tasks.execution import process_trees

    _fork.tie = process_trees.die_with_parent
    _fork.parent = os.getpid()
    _fork.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _TOLD)


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _fork.mask)
    _fork.going_on = False


def _tie() -> None:
    global _tied
    _tied = True
    _leave_when_told()
    if _fork.tie is not None:
        _fork.tie(signal.SIGTERM, _fork.parent)
    _unblock()


_HOOKS = {_block.__code__, _unblock.__code__, _tie.__code__}


def _put_off(frame: FrameType | None) -> bool:
    """Have the alarm come back to a signal at a bad moment.

    Whatever hooks of forks raise is lost. So is what importing's own callbacks raise, and they then keep the lock of
    all imports: threads that import anything would wait for ever, and doit for them.
    """
    # Where doit itself is run, or the dodo file read, by an import, that one is no reason to wait.
    importing = any(each not in _imports_around for each in _imports(frame))
    if _fork.going_on or (frame is not None and frame.f_code in _HOOKS) or importing:
        _come_back()
        return True
    return False


def _imports(frame: FrameType | None) -> list[FrameType]:
    """Return the frames at and around ``frame`` that import something."""
    found = []
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            found.append(frame)
        frame = frame.f_back
    return found


def _come_back() -> None:
    signal.setitimer(signal.ITIMER_REAL, _MOMENT_SECONDS)


class _Unheard:
    """Has an interrupt that a finalizer or a callback of the interpreter swallowed come again."""

    def __init__(self, otherwise: Callable[[sys.UnraisableHookArgs], object]) -> None:
        self._otherwise = otherwise

    def __call__(self, unheard: sys.UnraisableHookArgs) -> None:
        global _interrupted
        if issubclass(unheard.exc_type, KeyboardInterrupt):
            _interrupted = -float("inf")
            _come_back()
        else:
            self._otherwise(unheard)


def _handle(handler: Callable[[int, FrameType | None], None], *numbers: signal.Signals) -> None:
    for number in (*numbers, signal.SIGALRM):
        signal.signal(number, handler)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _is_heeded(number: signal.Signals) -> bool:
    return signal.getsignal(number) is not signal.SIG_IGN


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _interrupted, _watched
    if _run % 2 and _watched != _run:
        _watched = _run
        # Not a Thread: starting one takes locks that this thread may hold.
        start_new_thread(_end_run_in_time, (_run,))
    if _put_off(frame):
        return
    # A second interrupt must not break into what the first began, unless that one was swallowed somewhere.
    last, _interrupted = _interrupted, time.monotonic()
    if _interrupted - last > _ONCE_SECONDS:
        raise KeyboardInterrupt


def _leave_when_told() -> None:
    """Have this worker end in order, once, and without a word: doit speaks for its workers."""
    _handle(_leave, *filter(_is_heeded, _TOLD))


def _turn_deaf() -> None:
    for number in _TOLD:
        # Not SIG_IGN: Python complains of a signal that is on its way when its handler is taken away.
        signal.signal(number, lambda *_: None)


def _leave(number: int, frame: FrameType | None) -> None:
    if _put_off(frame):
        return
    # One Ctrl-C is followed by what doit sends its workers; the second must not break into what the first began.
    _turn_deaf()
    # The kernel ends a worker that does not find its way out, whatever its threads wait for.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, _GRACE_SECONDS)
    raise _Stopped(_INTERRUPTED)


class _Stopped(SystemExit):
    """A worker was told to end; a traceback of it would say nothing."""

    def __str__(self) -> str:
        # What doit says where it only hears of this through the worker.
        return "a worker was stopped"


def end_with_parent() -> None:
    """Have a worker that doit spawned end with doit; called when such a worker receives its tasks.

    Its parent may be a server that outlives doit, so it watches doit itself.
    """
    global _tied
    if _tied or multiprocessing.current_process().name == "MainProcess":
        return
    _tied = True
    _leave_when_told()
    threading.Thread(target=_watch_parent, name="parent watch", daemon=True).start()


def _watch_parent() -> None:
    from multiprocessing.connection import wait

    # Tasks are received before the process knows its parent.
    while (parent := multiprocessing.parent_process()) is None:
        time.sleep(0.05)
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


def _say_interrupted(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        # The way out takes a few seconds at most; a second interrupt would only fill the screen.
        _turn_deaf()
        run_is_over()
        sys.stderr.write(_LAST_WORDS)
        # doit stops its workers only where the interrupt finds it waiting for them, not while it starts them.
        for worker in multiprocessing.active_children():
            worker.terminate()
        threading.Thread(target=_end_in_time, name="end in time", daemon=True).start()
    else:
        sys.__excepthook__(kind, value, trace)


def _end_run_in_time(run: int) -> None:
    """End this process if an interrupt has not ended its run: whatever it waits for, it was told to stop."""
    time.sleep(_WAY_OUT_SECONDS)
    if _run == run:
        # Not by way of sys.stderr, whose lock the main thread may hold.
        os.write(2, _LAST_WORDS.encode())
        _end()


def _end_in_time() -> None:
    """End this process and its workers if their own way out takes too long.

    An interrupt inside Condition.notify can lose the next wake-up, and the interpreter then waits for ever for the
    thread that feeds a queue of multiprocessing.
    """
    time.sleep(_GRACE_SECONDS)
    _end()


def _end() -> None:
    for worker in multiprocessing.active_children():
        worker.kill()
    os._exit(_INTERRUPTED)
