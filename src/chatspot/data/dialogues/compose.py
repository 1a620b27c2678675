"""From a record to its dialogues."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from typing import TypeAlias

from chatspot.data.dialogues.counting import count_here_turns, count_turns
from chatspot.data.dialogues.grounding import ground_turns
from chatspot.data.dialogues.picture_turns import caption_turns, kept_dialogue, question_turns, relation_turns
from chatspot.data.dialogues.region_turns import (
    colour_turns,
    describe_turns,
    name_turns,
    presence_turns,
    text_turns,
)
from chatspot.data.dialogues.scene import Scene, Turn, packed
from chatspot.data.dialogues.settings import DialogueSettings
from chatspot.data.dialogues.wording import with_picture
from chatspot.data.records import Record
from chatspot.data.samples import Sample
from chatspot.messages import Conversation, Message

Maker: TypeAlias = Callable[[Scene], Iterator[Turn]]

MAKERS: tuple[Maker, ...] = (
    caption_turns, question_turns, name_turns, text_turns, describe_turns, presence_turns, colour_turns, count_turns,
    count_here_turns, relation_turns, ground_turns,
)  # fmt: skip


def samples_of_record(record: Record, settings: DialogueSettings, seed: int = 0) -> Iterator[Sample]:
    """The dialogues about one record. The same record, settings and seed give the same samples, whatever else is read.

    A sample's ``id`` is the record's, "#", its task and a number: unique where the records' ids are. Its ``task`` is
    that of its turns, or "dialogue" where they differ. Colours are measured in the picture's file; where that cannot be
    opened none is asked. Nothing to ask gives no sample. A source whose questions are a dialogue already (LLaVA's JSON)
    keeps it whole, as one sample whose id ends in a digest of its words.
    """
    scene = Scene(record, settings, seed)
    kept = kept_dialogue(scene)
    if kept:
        said = conversation(kept)
        digest = blake2b(repr(said).encode(), digest_size=6).hexdigest()  # one picture may have several such dialogues
        asked_for = "dialogue" if len(kept) > 1 else "vqa"
        yield Sample(f"{record.id}#{digest}", record.source, (record.image,), said, asked_for)
    turns = [turn for maker in MAKERS for turn in maker(scene)]
    rng = scene.rng("order")
    groups: dict[str, list[Turn]] = defaultdict(list)
    mixed = rng.random() < settings.mixed_share
    for turn in turns:
        groups["dialogue" if mixed else turn.task].append(turn)
    made = []
    for task, group in groups.items():
        rng.shuffle(group)
        for number, dialogue in enumerate(packed(group, settings.turns, settings.points)):
            tasks = {turn.task for turn in dialogue}
            asked_for = tasks.pop() if len(tasks) == 1 else "dialogue"
            sample_id = f"{record.id}#{task}.{number}"
            made.append(Sample(sample_id, record.source, (record.image,), conversation(dialogue), asked_for))
    if settings.dialogues is not None and len(made) > settings.dialogues:
        made = [made[at] for at in sorted(rng.sample(range(len(made)), settings.dialogues))]
    yield from made


def conversation(turns: Sequence[Turn]) -> Conversation:
    """The turns as a conversation, the picture in the first question."""
    messages = []
    for at, turn in enumerate(turns):
        question = with_picture(turn.question) if at == 0 else turn.question
        messages += [Message("user", question, turn.style), Message("assistant", turn.answer)]
    return Conversation(tuple(messages))
