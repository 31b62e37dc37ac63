"""The worked example's tasks: one set per file in configs/."""

from scaling_tasks.doit_plugin import load_tasks

load_tasks(globals())
