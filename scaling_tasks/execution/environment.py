"""The environment of workers: what they are given of that which a build was started with."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from scaling_tasks.execution.threads import thread_environment

__all__ = ["SAME_EVERYWHERE", "reader_environment", "toolchain_settings", "worker_environment"]

SAME_EVERYWHERE = {"LANG": "C.UTF-8", "TZ": "UTC", "PYTHONHASHSEED": "0"}
"""What may change results and says nothing of where things lie: all work is told the same.

The hash seed is fixed so that compilers written in Python give the same bytes every time.
"""

# What programs need to start at all, and where things are told to be found. Whatever else this process was started
# with stays with it: work must not depend on it, and what it is trusted with is not for compilers.
_PASSED = re.compile(
    r"PATH|HOME|USER|SHELL|TMPDIR|TERM|LD_LIBRARY_PATH|VIRTUAL_ENV|SSL_CERT_\w+"
    r"|PYTHON(PATH|HOME|USERBASE|NOUSERSITE|PLATLIBDIR|DONTWRITEBYTECODE|PYCACHEPREFIX)"
    r"|SCALING_TASKS_(?!STORE_KEY|REMOTE_STORE)\w+|TOOLCHAIN_HOME|LITE_HOME|MSLITE_HOME"
)
_OF_THE_STORE = re.compile(r"SCALING_TASKS_(STORE_KEY|REMOTE_STORE)\w*")
# Variables of toolchains are passed too. Those that are no paths are settings, on which results may depend.
_TOOLCHAINS = ("ASCEND", "CANN", "DOTNET", "NNCASE", "CUDA")


def worker_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what of an environment work gets to see."""
    return {
        name: value for name, value in environment.items() if name.startswith(_TOOLCHAINS) or _PASSED.fullmatch(name)
    }


def reader_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what work gets to see that reads data: all but what opens the store of results.

    Which variables credentials, proxies and addresses of servers are in, only the libraries know that use them.
    """
    return {name: value for name, value in environment.items() if not _OF_THE_STORE.fullmatch(name)}


def toolchain_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what an environment says to toolchains besides where things lie, to be part of an action.

    Where things lie differs between machines that make the same; what lies there tells each backend's identity.
    """
    limits = thread_environment(1)  # What each process is told anew.
    found = ((name, environment[name]) for name in environment if name.startswith(_TOOLCHAINS) and name not in limits)
    return {name: value for name, value in found if os.sep not in value}
