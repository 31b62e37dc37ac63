"""What an ONNX graph does with sizes and with padding: expressions, validity, row independence, cleaning."""
