"""What a language model is asked: a system prompt, seed examples in context, the scene, and the form of the answer.

All words are ours. ``VERSION`` stands in every request's key: raise it when a word changes, and old replies stay apart.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal, TypeAlias

from chatspot.data.regionchat.dialogue import Dialogue, Turn, dialogue_schema
from chatspot.data.regionchat.scene import Scene

VERSION = 1
# the dialogue's schema; any JSON object; JSON by the prompt alone; lines "Q: ..." and "A: ..." for very small models
Form: TypeAlias = Literal["json_schema", "json_object", "prompt", "lines"]
Kind: TypeAlias = Literal["conversation", "description", "reasoning"]

SYSTEM = """\
You write conversations between a person and an assistant about parts of a photograph. You cannot see the photograph; \
you get what is known of it. Each part has a name: <r1>, <r2>, ... The person points at parts by these names and the \
assistant, who sees the photograph, answers.

Rules:
1. Every turn names at least one part in its question or its answer, written exactly as <r1>.
2. Say only what follows from the given facts. Ask nothing that they do not answer.
3. Never write numbers that say where something is. Never speak of facts, names, lists or boxes: both look at the photo.
4. No question comes twice. Questions have at most 30 words, answers at most 60. Write English.
5. """
IN_JSON = 'Answer with one JSON object and nothing else: {"turns": [{"question": "...", "answer": "..."}]}'
IN_LINES = 'Write each turn as two lines, "Q: ..." and "A: ...", and nothing else.'

TASKS: dict[Kind, str] = {
    "conversation": "Write {turns} turns: what things are, their looks, text, number, how they stand to each other.",
    "description": "Write {turns} turns that ask for a description; each answer tells in one or two full sentences all "
    "that is known of its part.",
    "reasoning": "Write {turns} turns whose answers need two facts or a thought (what for, why, what next) and give "
    "the reason in a sentence.",
}

EXAMPLES: tuple[tuple[str, Dialogue], ...] = (
    (
        "<r1> is a bicycle: red, old; in the lower left of the picture\n"
        '<r2> is a sign: the text "BAKERY" is written on it; small and in the upper middle of the picture\n'
        "<r1> leaning against <r3>\n"
        "<r3> is a wall: brick; large and in the centre of the picture\n"
        "Caption: a red bicycle leans on a brick wall below a shop sign",
        Dialogue(
            turns=(
                Turn(question="What is <r1>?", answer="An old red bicycle."),
                Turn(question="What is <r1> leaning against?", answer="It leans against <r3>, a brick wall."),
                Turn(question="What does the sign <r2> say?", answer='It says "BAKERY".'),
            )
        ),
    ),
    (
        "<r1> is a dog: a brown dog with its tongue out; in the lower right of the picture\n"
        "<r2> is a frisbee: yellow; small and in the centre of the picture\n"
        "<r1> looking at <r2>",
        Dialogue(
            turns=(
                Turn(question="Describe <r1>.", answer="<r1> is a brown dog with its tongue out."),
                Turn(question="What is the dog <r1> looking at?", answer="At <r2>, the yellow frisbee."),
            )
        ),
    ),
)


def messages_of(
    scene: Scene, kind: Kind, *, turns: int, examples: int = 2, form: Form = "prompt"
) -> list[dict[str, str]]:
    """The chat about one scene, in the shape of OpenAI's chat API."""
    lines = form == "lines"
    messages = [{"role": "system", "content": SYSTEM + (IN_LINES if lines else IN_JSON)}]
    for facts, dialogue in EXAMPLES[:examples]:
        messages.append({"role": "user", "content": question_about(facts, kind, len(dialogue.turns))})
        answer = "\n".join(f"Q: {t.question}\nA: {t.answer}" for t in dialogue.turns)
        messages.append({"role": "assistant", "content": answer if lines else dialogue.model_dump_json()})
    messages.append({"role": "user", "content": question_about(scene.text, kind, turns)})
    return messages


def question_about(facts: str, kind: Kind, turns: int) -> str:
    """The user's message about some facts."""
    return f"{facts}\n\n{TASKS[kind].format(turns=turns)}"


def response_format(form: Form) -> dict[str, Any] | None:
    """OpenAI's ``response_format``: the dialogue's schema, any JSON object, or nothing but the prompt's request."""
    if form == "json_schema":
        return {
            "type": "json_schema",
            "json_schema": {"name": "dialogue", "strict": True, "schema": dialogue_schema()},
        }
    return {"type": "json_object"} if form == "json_object" else None


def request_key(body: dict[str, Any]) -> str:
    """The name of a call: SHA-256 of its body and of the prompt's version. Equal calls are paid once."""
    canonical = json.dumps([VERSION, body], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()
