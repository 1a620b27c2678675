"""The model: vision tower, linear projector and language model, assembled over transformers' LLaVA classes."""
