"""The compilers called without the pipeline: what a hand-written loop over the same shapes costs.

``python bare.py BACKEND MODEL DIRECTORY SHAPE...`` converts one model to each shape (``1,3,48,320``) in this process;
with ``--load`` every result is loaded once, as the pipeline does before it accepts one. For ``lite`` it must run under
the Python that has mindspore_lite.
"""

import subprocess
import sys
from pathlib import Path


def main(arguments):
    """Convert and, where asked, load."""
    if arguments[0] == "lite_load":
        lite_load(arguments[1])
        return
    load = "--load" in arguments
    backend, model, directory, *shapes = [argument for argument in arguments if argument != "--load"]
    convert = {"openvino": openvino, "onnxruntime": onnxruntime, "lite": lite, "nncase": nncase}[backend]
    for shape in shapes:
        dims = [int(text) for text in shape.split(",")]
        convert(model, str(Path(directory) / (f"model_W{dims[-1]}")), dims, load)


def openvino(model, output, dims, load):
    """Reshape and save, as ``ovc`` does."""
    import openvino

    core = openvino.Core()
    network = core.read_model(model)
    network.reshape(dims)
    openvino.save_model(network, output + ".xml", compress_to_fp16=False)
    if load:
        core.compile_model(output + ".xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def onnxruntime(model, output, dims, load):
    """Fix the shape and optimise offline."""
    import onnx
    import onnxruntime as ort

    proto = onnx.load(model)
    for dim, size in zip(proto.graph.input[0].type.tensor_type.shape.dim, dims):  # noqa: B905 (3.7 has no strict=)
        dim.Clear()
        dim.dim_value = size
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = output + ".onnx"
    ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    if load:
        ort.InferenceSession(output + ".onnx", providers=["CPUExecutionProvider"])


def lite(model, output, dims, load):
    """Convert with the Python interface."""
    import mindspore_lite

    converter = mindspore_lite.Converter()
    converter.input_shape = {"x": dims}
    converter.convert(mindspore_lite.FmkType.ONNX, model, output)
    if load:  # 2.0.0 dies when one process converts and loads.
        subprocess.run([sys.executable, __file__, "lite_load", output + ".mindir"], check=True)


def lite_load(path):
    """Load a MindIR."""
    import mindspore_lite

    context = mindspore_lite.Context()
    context.target = ["cpu"]
    mindspore_lite.Model().build_from_file(path, mindspore_lite.ModelType.MINDIR, context)


def nncase(model, output, dims, load):
    """Fix, simplify and compile for the CPU."""
    import os

    from scaling_tasks.compilers.onnxruntime import optimise
    from scaling_tasks.engines.nncase import nncase_environment
    from scaling_tasks.onnx_model.fixing import write_fixed_model

    os.environ.update(nncase_environment())
    import nncase as compiler_package

    fixed = write_fixed_model(Path(model), {"x": tuple(dims)}, Path(output + ".fixed.onnx"))
    simple = optimise(fixed, Path(output + ".simple.onnx"), "ORT_ENABLE_BASIC")
    options = compiler_package.CompileOptions()
    options.target = "cpu"
    compiler = compiler_package.Compiler(options)
    compiler.import_onnx(simple.read_bytes(), compiler_package.ImportOptions())
    compiler.compile()
    Path(output + ".kmodel").write_bytes(compiler.gencode_tobytes())
    if load:
        compiler_package.Simulator().load_model(Path(output + ".kmodel").read_bytes())


if __name__ == "__main__":
    main(sys.argv[1:])
