"""A real OpenAI-compatible server with a real small language model, for trying RegionChat without any account.

    python benchmarks/regionchat_server.py --port 8000 --log requests.jsonl

transformers' own ``serve`` answers, with SmolLM2-135M-Instruct (nano's language model, as it was published). The log
gets a line when a request comes and one when its answer has left: RegionChat's name of the call (the header
X-Client-Request-Id), the SHA-256 of the request's body, the time, the HTTP status. It needs the packages fastapi and
uvicorn.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

MODEL_FOLDER = "smollm2-135m-instruct"
THREADS_VARIABLE = "OMP_NUM_THREADS"  # PyTorch's own: how many processor cores one answer may take


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve SmolLM2 through transformers serve, and log each request.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True, help="JSON lines are added here")
    parser.add_argument("--cache", type=Path, help="where the model is kept; default: chatspot's cache")
    given = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"  # the model is a folder; nothing is looked up
    model = language_model_folder(given.cache)
    print(f"model: {model}", flush=True)  # the name under which it is asked
    serve(model, given.port, given.log)


def language_model_folder(cache: Path | None = None) -> Path:
    """SmolLM2 as a stock Llama folder, converted on the first call."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from chatspot.model import gguf
    from chatspot.model.weights import cache_folder, language_weights

    folder = (cache or cache_folder()) / MODEL_FOLDER
    if folder.is_dir():
        return folder
    metadata, tensors = gguf.read_gguf(language_weights())
    config = LlamaConfig(**gguf.llama_config(metadata))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=gguf.byte_pair_tokenizer(metadata),
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        clean_up_tokenization_spaces=False,
        chat_template=metadata["tokenizer.chat_template"],
    )
    model = LlamaForCausalLM(config)
    state = {name: torch.from_numpy(value) for name, value in gguf.llama_state_dict(metadata, tensors).items()}
    model.model.load_state_dict(state)
    model.tie_weights()
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    new = folder.with_name(f".{folder.name}.{os.getpid()}")
    model.save_pretrained(new)
    tokenizer.save_pretrained(new)
    try:
        new.rename(folder)
    except OSError:  # another process was faster
        shutil.rmtree(new)
    return folder


def serve(model: Path, port: int, log: Path) -> None:
    """Answer until killed."""
    from transformers.cli.serve import Serve
    from transformers.cli.serving import server

    build = server.build_server

    def build_with_log(*arguments: Any, **named: Any) -> Any:
        app = build(*arguments, **named)
        app.add_middleware(RequestLog, path=log)
        return app

    server.build_server = build_with_log
    Serve(force_model=str(model), device="cpu", dtype="float32", host="127.0.0.1", port=port, log_level="error")


class RequestLog:
    """ASGI: writes down every chat completion that is asked for, and when its answer has left."""

    def __init__(self, app: Any, path: Path):
        self.app, self.path = app, path

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != "/v1/chat/completions":
            await self.app(scope, receive, send)
            return
        call = dict(scope["headers"]).get(b"x-client-request-id", b"").decode("ascii", "replace")
        digest = hashlib.sha256()
        status = 0

        async def reading() -> Any:
            message = await receive()
            digest.update(message.get("body", b""))
            if message["type"] == "http.request" and not message.get("more_body"):
                self.write("asked", call, body_sha256=digest.hexdigest())
            return message

        async def sending(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                self.write("answered", call, status=status)

        await self.app(scope, reading, sending)

    def write(self, event: str, call: str, **more: Any) -> None:
        line = json.dumps({"event": event, "call": call, "time": round(time.time(), 3), **more})
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


if __name__ == "__main__":
    main()
