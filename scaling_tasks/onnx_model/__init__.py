"""Reading ONNX models: signatures, digests, fixing dimensions, output relations."""
