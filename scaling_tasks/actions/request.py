"""What is asked for when an action's result is wanted: the action, and how it is done here and now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from scaling_tasks.action import Action
from scaling_tasks.execution.contract import Limits, Subject

__all__ = ["TOOLCHAIN", "ActionRequest"]

TOOLCHAIN = "toolchain"
"""Under which work tells with which toolchain it was done, where that could have changed since the action was made."""


class ActionRequest(msgspec.Struct, frozen=True):
    """An action with what is needed to have it done here and now, none of which changes its result.

    Attributes:
        action: The action.
        sources: Gives where each input lies; asked for when work is done.
        function: ``module:function`` that does the work, see ``execution.contract.Work``.
        subject: How a failure is told.
        limits: Gives what the work may use in a process of its own; None where it is done in this one.
        hints: Gives parameters that change no result; asked for when work is done. They hold no paths to be opened.
        carried: Files for the work whose content the action names in another way, by name.
        stored: Whether the store keeps the result.
        tools: ``module:function`` that tells the toolchain and the platform that are found where it is called, see
            ``execution.contract.Origin``; empty where the work is bound to this machine.
        at_home: Whether the work is done on this machine where no other has these tools.
        scratch: Gives directories of work that several actions share, by the parameter that names each to the work.
    """

    action: Action
    sources: Callable[[], Mapping[str, Path]]
    function: str
    subject: Subject
    limits: Callable[[], Limits] | None = None
    hints: Callable[[], Mapping[str, Any]] = dict
    carried: Mapping[str, Path] = {}
    stored: bool = True
    tools: str = ""
    at_home: bool = False
    scratch: Callable[[], Mapping[str, Path]] = dict
