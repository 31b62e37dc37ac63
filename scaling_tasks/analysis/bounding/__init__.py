"""Lengths that data decides, made fixed: as long as they can get, with their number told by the graph itself."""
