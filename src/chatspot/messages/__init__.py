"""What is said: text, picture and region parts, joined into messages, joined into a conversation."""

from chatspot.messages.conversation import (
    Conversation,
    ImagePart,
    Message,
    Part,
    RegionPart,
    Style,
    TextPart,
    ask,
    conversation_from_json,
)

__all__ = [
    "Conversation",
    "ImagePart",
    "Message",
    "Part",
    "RegionPart",
    "Style",
    "TextPart",
    "ask",
    "conversation_from_json",
]
