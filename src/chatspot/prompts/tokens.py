"""Text to token ids and back, over the ``tokenizers`` library alone: asking needs no transformers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from chatspot.errors import CheckpointError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

IMAGE_TOKEN, BOX_TOKEN, END_BOX_TOKEN = "<image>", "<box>", "</box>"
# Whether control tokens count is a state of the tokenizer, not of the call: another thread that switched them on for
# its own text would let forged ones count in this one's. And before 0.22, tokenizers fails where one thread decodes
# while another sets up encoding.
ONE_AT_A_TIME = Lock()


class Tokens:
    """A model's tokenizer. ``special_tokens`` are the names that a chat template may use, such as ``eos_token``."""

    def __init__(self, tokenizer: Tokenizer, special_tokens: Mapping[str, str]):
        self.tokenizer, self.special_tokens = tokenizer, dict(special_tokens)

    @classmethod
    def of(cls, tokenizer: Any) -> Tokens:
        """Those of a fast tokenizer of transformers, which may be used further."""
        return cls(tokenizer.backend_tokenizer, tokenizer.special_tokens_map)

    @classmethod
    def read(cls, folder: Path) -> Tokens:
        """Those of ``tokenizer.json`` and ``tokenizer_config.json`` in a folder.

        Raises ``OSError`` or ``ValueError`` when a file is not there or damaged.
        """
        from tokenizers import Tokenizer

        stored = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
        named = {name: stored[name] for name in stored if name.endswith("_token") and stored[name]}
        text = (folder / "tokenizer.json").read_text("utf-8")
        try:
            tokenizer = Tokenizer.from_str(text)
        except Exception as error:  # tokenizers raises a bare Exception
            raise ValueError(f"{folder / 'tokenizer.json'} is no tokenizer ({error})") from error
        texts = {name: token["content"] if isinstance(token, dict) else token for name, token in named.items()}
        return cls(tokenizer, {name: text for name, text in texts.items() if isinstance(text, str)})

    def __len__(self) -> int:
        """How many tokens there are, the added ones included."""
        return int(self.tokenizer.get_vocab_size(with_added_tokens=True))

    def ids(self, text: str, *, control: bool) -> list[int]:
        """The ids of a text. With ``control`` its control tokens are meant; else they are characters like others."""
        with ONE_AT_A_TIME:
            if self.tokenizer.padding is not None:  # transformers may have left it
                self.tokenizer.no_padding()
            if self.tokenizer.truncation is not None:
                self.tokenizer.no_truncation()
            self.tokenizer.encode_special_tokens = not control
            return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def text(self, ids: Sequence[int]) -> str:
        """The text of the ids, control tokens included."""
        with ONE_AT_A_TIME:
            return str(self.tokenizer.decode(list(ids), skip_special_tokens=False))

    def id_of(self, token: str) -> int:
        """The id of a token; ``CheckpointError`` where there is no such token."""
        found = self.tokenizer.token_to_id(token)
        if found is None:
            raise CheckpointError(f"the tokenizer has no token {token}; it belongs to another model")
        return int(found)

    @property
    def control_ids(self) -> frozenset[int]:
        """The control tokens, the box markup included."""
        added = self.tokenizer.get_added_tokens_decoder()
        return frozenset(number for number, token in added.items() if token.special)

    @property
    def byte_ids(self) -> frozenset[int]:
        """The tokens that stand for a single byte: a LLaMA tokenizer has them for characters that it does not know."""
        found = (self.tokenizer.token_to_id(f"<0x{byte:02X}>") for byte in range(256))
        return frozenset(number for number in found if number is not None)
