"""A backend in a few lines: the model with its shape fixed, compressed. See ``docs/backends.md``."""

import zlib

from scaling_tasks.compilers.base import BackendBase
from scaling_tasks.compilers.contract import Artefact
from scaling_tasks.compilers.options import Annotated, Options, option, read_options
from scaling_tasks.onnx_model.fixing import write_fixed_model
from scaling_tasks.onnx_model.reading import whole_model


class ZippedOptions(Options, frozen=True):
    """What ``compile.options`` may hold: checked before anything runs, completed by editors."""

    level: Annotated[int, option("how hard to compress", ge=1, le=9)] = 6


class ZippedBackend(BackendBase):
    """What is not here has a default: one unit per bucket, an artefact is accepted when it loads, and so on."""

    name = engine = "zipped"
    options_type = ZippedOptions

    def identity(self, options):
        """Return what changes the artefact besides this package, whose version is in the key anyway."""
        return {"zlib": zlib.ZLIB_RUNTIME_VERSION}

    def compile(self, job, workdir):
        """Compile in a process of its own, which may print, abort or hang; write below ``workdir`` only."""
        (values,) = job.unit.values()
        fixed = write_fixed_model(job.model, job.signature.shapes(values), workdir / "fixed.onnx")
        target = workdir / f"{job.unit.stem}.onnx.z"
        level = read_options(ZippedOptions, job.options, self.name).level
        target.write_bytes(zlib.compress(whole_model(fixed), level))
        return Artefact((target,))
