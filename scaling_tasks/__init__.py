"""Cheapest static shapes for dynamic ONNX models: plan, compile, verify, bundle, run."""
