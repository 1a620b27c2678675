"""Measuring: questions about held-out photos (``tasks``), a model's answers kept in a file (``predict``), numbers from
that file (``score``), and what people read (``tables``, ``transcript``)."""
