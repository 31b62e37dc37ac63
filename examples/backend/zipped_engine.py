"""The engine of ``zipped_backend``: all that a server needs to run its artefacts."""

import zlib

from scaling_tasks.engines.packages import require
from scaling_tasks.errors import EngineError


def check(options):
    """Refuse, when a bundle is opened, where something is missing; without importing it."""
    require("onnxruntime")


def load(path, options):
    """Load an artefact: once after compiling, as proof that it loads, and for whoever runs it."""
    return Engine(path)


class Engine:
    """Runs at exactly the shape that was compiled."""

    def __init__(self, path):
        import onnxruntime

        try:
            model = zlib.decompress(path.read_bytes())
        except zlib.error as cause:
            raise EngineError(f"does not load ({cause})", where=str(path)) from cause
        self.session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

    def run(self, inputs):
        """Return the outputs by name."""
        names = [output.name for output in self.session.get_outputs()]
        return dict(zip(names, self.session.run(names, dict(inputs)), strict=True))

    def close(self):
        """Release what the engine holds."""
        self.session = None
