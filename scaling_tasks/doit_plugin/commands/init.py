"""``doit scaling_init MODEL [DATASET]``: write a commented configuration for a model after reading its inputs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from doit.cmd_base import Command
from doit.exceptions import InvalidCommand

from scaling_tasks.doit_plugin.commands.base import options_first

__all__ = ["Init"]

_BACKEND = {
    "name": "backend",
    "short": "b",
    "long": "backend",
    "type": str,
    "default": "openvino",
    "help": "the compiler [default: %(default)s]",
}
_NAME = {
    "name": "target",
    "long": "name",
    "type": str,
    "default": "",
    "help": "the target's name [default: the model's]",
}


class Init(Command):  # type: ignore[misc]  # doit carries no types
    """Writes ``configs/<target>.yaml`` and, for editors, the schema beside it; refuses to overwrite."""

    name = "scaling_init"
    doc_purpose = "write a commented configs/<target>.yaml for an ONNX model"
    doc_usage = "MODEL.onnx [DATASET]"
    doc_description = (
        "Run it at the repository's root. Needs no dodo file. Exit status: 0, or 1 when nothing was written."
    )
    cmd_options = (_BACKEND, _NAME)

    def parse_execute(self, in_args: list[str]) -> Any:
        """Take options behind the model too."""
        return super().parse_execute(options_first(self.cmdparser, in_args))

    def execute(self, opt_values: dict[str, Any], pos_args: list[str]) -> int:
        """Read the model, write the files, and say what to do next."""
        from scaling_tasks.compilers.schema import schema_text
        from scaling_tasks.config.template import write_configuration
        from scaling_tasks.errors import ScalingTasksError
        from scaling_tasks.onnx_model.reading import read_signature

        if len(pos_args) not in (1, 2):
            raise InvalidCommand("`scaling_init` takes the path of a model and, if there is one, of a data set.")
        model, dataset = pos_args[0], pos_args[1] if len(pos_args) == 2 else None
        name = opt_values["target"] or Path(model).stem
        try:
            inputs = read_signature(Path(model)).inputs
            schema = schema_text()
            path = write_configuration(Path("configs"), name, model, inputs, dataset, opt_values["backend"], schema)
        except ScalingTasksError as error:
            sys.stderr.write(f"error: {error}\n")
            return 1
        sys.stdout.write(f"wrote {path.as_posix()}\n{self._next_steps()}")
        return 0

    def _next_steps(self) -> str:
        if Path("dodo.py").exists() or self.config.get("GLOBAL", {}).get("loader") == "scaling_tasks":
            return "`doit plan` shows what a build would do.\n"
        return (
            "There is no dodo.py. Either write these lines to pyproject.toml:\n\n"
            '  [tool.doit]\n  loader = "scaling_tasks"\n\n'
            "or these to dodo.py:\n\n"
            "  from scaling_tasks.doit_plugin import load_tasks\n\n  load_tasks(globals())\n"
        )
