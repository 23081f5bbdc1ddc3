"""SPICE 1.0: the parser, the store of parses, the metric, and what they need on this machine."""
