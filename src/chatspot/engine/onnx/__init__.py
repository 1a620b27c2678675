"""Answers computed with ONNX Runtime, which needs neither torch nor transformers."""
