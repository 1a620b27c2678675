"""``chatspot serve``: OpenAI's chat interface over the model, with regions."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from chatspot.cli import options
from chatspot.cli.browsing import open_page
from chatspot.errors import ChatSpotError

if TYPE_CHECKING:
    from chatspot.engine import Engine

MEGABYTE = 2**20


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on; other machines reach 0.0.0.0.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 is any free one.")] = 8000,
    api_key: Annotated[
        str | None, typer.Option(envvar="CHATSPOT_API_KEY", help="What clients send as their key.", show_default=False)
    ] = None,
    unprotected: Annotated[bool, typer.Option(help="Let other machines in without a key.")] = False,
    region_text: Annotated[bool, typer.Option(help="Read <box>...</box> in texts as regions.")] = True,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 512,
    max_body: Annotated[float, typer.Option(min=0.01, help="Largest request, in MB.")] = 32,
    max_pixels: Annotated[int, typer.Option(min=1, max=64_000_000, help="Largest picture, in pixels.")] = 25_000_000,
    max_pictures: Annotated[int, typer.Option(min=0, help="Most pictures of a conversation.")] = 8,
    max_regions: Annotated[int, typer.Option(min=0, help="Most regions of a conversation.")] = 32,
    batch: Annotated[int, typer.Option(min=1, help="Answers computed together.")] = 16,
    queue: Annotated[int, typer.Option(min=0, help="Requests that may wait; further ones get 429.")] = 64,
    memory: Annotated[float, typer.Option(min=1, help="MB for bodies and pictures of all requests.")] = 1024,
    body_timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for a request to come in.")] = 30,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for a whole answer, waiting included.")] = 120,
    grace: Annotated[float, typer.Option(min=0, help="Seconds for running answers after SIGTERM.")] = 30,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    no_focal_view: options.NoFocalView = False,
    model: options.Model = None,
    device: options.Device = "auto",
    engine: Annotated[
        Literal["local", "torch", "onnx", "remote"],
        typer.Option(help="Compute here, with what suits the model, torch or onnx; or ask another server."),
    ] = "local",
    url: Annotated[str | None, typer.Option(help="Remote: the server's address, with its /v1.")] = None,
    dialect: Annotated[
        str | None, typer.Option(help="Remote: how its model writes regions; chatspot-api for another chatspot serve.")
    ] = None,
    remote_model: Annotated[str | None, typer.Option(help="Remote: the model's name there, if it has several.")] = None,
    api_key_from_environment: Annotated[
        str | None, typer.Option(help="Remote: the environment variable that holds its key.", metavar="VARIABLE")
    ] = None,
) -> None:
    """Serve the page, and the model to OpenAI's clients: chatspot serve --open"""
    server = serving()
    from chatspot.serve.limits import Limits
    from chatspot.serve.service import Settings

    server.check_exposure(host, api_key, unprotected)
    limits = Limits(
        body_bytes=int(max_body * MEGABYTE),
        pixels=max_pixels,
        pictures=max_pictures,
        regions=max_regions,
        tokens=max_tokens,
        default_tokens=min(max_tokens, Limits.default_tokens),
        batch=batch,
        queue=queue,
        held_bytes=int(memory * MEGABYTE),
        body_s=body_timeout,
        answer_s=timeout,
        grace_s=grace,
    )
    if engine != "remote" and (url or dialect or remote_model or api_key_from_environment):
        raise ChatSpotError("--url, --dialect, --remote-model and --api-key-from-environment go with --engine remote")
    if engine == "remote" and (model or device != "auto" or no_focal_view):
        raise ChatSpotError("--model, --device and --no-focal-view go with an engine here; the remote server has a "
                            "model of its own (--remote-model)")  # fmt: skip
    opened = None
    if engine == "remote":
        opened = open_remote_engine(url, dialect, remote_model, api_key_from_environment, batch, timeout)
    listener = server.listening(host, port)
    settings = Settings(limits, api_key, region_text, server.allowed_hosts(host, api_key))

    def open_engine() -> Engine:
        if opened is not None:
            return opened
        from chatspot.spot import ChatSpot

        kind: options.EngineKind = engine if engine == "torch" or engine == "onnx" else "auto"
        focal_view = False if no_focal_view else None
        return ChatSpot.from_pretrained(model, device, focal_view=focal_view, engine=kind).engine

    address = server.address_of(listener)
    typer.echo(f"chatspot serves {address}/v1 and a page at {address} (the model is being opened; Ctrl-C ends)")
    if open_browser:
        open_page(address)
    server.run(open_engine, listener, settings, closing=lambda: typer.echo("chatspot has answered everybody"))


def serving() -> ModuleType:
    """``chatspot.serve.server``; ``ChatSpotError`` where the libraries that it needs are not installed."""
    try:
        from chatspot.serve import server
    except ModuleNotFoundError as error:
        raise ChatSpotError(f"serving needs {error.name}, which is not installed: pip install 'chatspot[serve]'"
                            ) from error  # fmt: skip
    return server


def open_remote_engine(
    url: str | None, dialect: str | None, model: str | None, key_variable: str | None, parallel: int, timeout_s: float
) -> Engine:
    """The engine over a remote server. Its faults are told before the server begins."""
    from chatspot.engine.remote import open_remote
    from chatspot.engine.remote.asking import Manners
    from chatspot.engine.remote.remote_engine import key_from_environment

    if not url or not dialect:
        raise ChatSpotError("--engine remote needs --url (such as http://127.0.0.1:8001/v1) and --dialect: how its "
                            "model writes regions (see chatspot regions list), or chatspot-api")  # fmt: skip
    key = key_from_environment(key_variable)
    return open_remote(url, dialect, model, api_key=key, parallel=parallel, manners=Manners(timeout_s=timeout_s))
