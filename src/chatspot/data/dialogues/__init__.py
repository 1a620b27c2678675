"""Dialogues made from records: which questions are asked, about which region in which form, in whose words."""

from chatspot.data.dialogues.compose import samples_of_record
from chatspot.data.dialogues.settings import DialogueSettings

__all__ = ["DialogueSettings", "samples_of_record"]
