"""From a conversation to the model's text and ids, and from the model's text back to parts."""

from chatspot.prompts.encode import Encoded, encode
from chatspot.prompts.pictures import Picture, pictures
from chatspot.prompts.reader import read_answer, read_regions
from chatspot.prompts.render import PromptSettings, Segment, render, template_source
from chatspot.prompts.tokens import Tokens

__all__ = [
    "Encoded",
    "Picture",
    "PromptSettings",
    "Segment",
    "Tokens",
    "encode",
    "pictures",
    "read_answer",
    "read_regions",
    "render",
    "template_source",
]
