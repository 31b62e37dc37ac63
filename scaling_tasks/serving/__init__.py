"""Bundles behind KServe's model server: the Open Inference Protocol (KServe v2) over HTTP and gRPC."""
