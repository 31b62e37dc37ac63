"""What stages have in common that run a bundle's engine: where their work is done, and what is told of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from scaling_tasks.action import Action
from scaling_tasks.actions.request import ActionRequest
from scaling_tasks.errors import VerificationFailed
from scaling_tasks.execution.contract import Subject
from scaling_tasks.stages.compile import worker_limits
from scaling_tasks.stages.target import Target

__all__ = ["bundle_request"]


def bundle_request(
    target: Target, action: Action, sources: Callable[[], Mapping[str, Path]], stage: str
) -> ActionRequest:
    """Return an action that runs the bundle's engine, wherever that can be done, here at last.

    Args:
        target: The target.
        action: What is done.
        sources: Gives where each input lies.
        stage: The stage's module, which has ``work`` and ``tools``.
    """
    return ActionRequest(
        action,
        sources,
        f"{stage}:work",
        Subject(target.name, "the engine", VerificationFailed),
        lambda: worker_limits(target),
        hints=lambda: {"options": target.result_options},
        tools=f"{stage}:tools",
        at_home=True,
    )
