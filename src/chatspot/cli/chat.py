"""``chatspot chat``: a conversation about a photo, line by line."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chatspot.cli import options
from chatspot.cli.pointing import typed_line
from chatspot.errors import ChatSpotError, MessageError

if TYPE_CHECKING:
    from chatspot.engine import Engine
    from chatspot.regions import Region
    from chatspot.spot import Chat

HELP = """\
Type a question. Point with @box x1,y1,x2,y2  @point x,y  @polygon x,y,x,y,x,y  @scribble x,y,x,y  @mask FILE
(pixels of the upright photo), anywhere in the line: What is @box 10,20,300,200 made of?
/overlay FILE.png  save the photo with the regions of the last question and answer drawn over it
/new               forget what was said
/help              show this
/quit              leave"""


def chat(
    photo: Annotated[Path, typer.Argument(help="The picture file.", show_default=False)],
    long: options.Long = False,
    max_new_tokens: options.MaxNewTokens = 64,
    agreement: options.Agreement = 0,
    modest: options.Modest = True,
    no_focal_view: options.NoFocalView = False,
    model: options.Model = None,
    device: options.Device = "auto",
    engine: options.EngineKind = "auto",
) -> None:
    """Talk about a photo, line by line. Lines may be piped in; an error in one then sets the exit code."""
    from chatspot.images import open_image

    image = open_image(photo)
    spot = options.open_spot(model, device, engine, no_focal_view=no_focal_view)
    conversation = spot.chat(image, style=options.answer_style(long), max_new_tokens=max_new_tokens)
    interactive = sys.stdin.isatty()
    if interactive:
        typer.echo(f"{photo}, {image.width} x {image.height} pixels. /help says how to point, /quit leaves.")
    terminal = Talk(conversation, agreement, modest=modest and is_calibrated(spot.engine))
    raise typer.Exit(talk(terminal, typed_lines(interactive), keep_code=not interactive))


def is_calibrated(engine: Engine) -> bool:
    """Whether the engine's answers say whether they are sure."""
    from chatspot.engine.local_engine import LocalEngine

    return isinstance(engine, LocalEngine) and engine.calibration is not None


def typed_lines(interactive: bool) -> Iterable[str]:
    """The lines of standard input; a terminal is prompted for each."""
    if not interactive:
        yield from sys.stdin
        return
    while True:
        try:
            yield input("> ")
        except EOFError:
            typer.echo("")
            return


def talk(terminal: Talk, lines: Iterable[str], *, keep_code: bool) -> int:
    """Answer line after line. An error is one line on stderr and the talk goes on; with ``keep_code`` the exit code
    that comes back is the first error's, else 0."""
    code = 0
    for line in lines:
        try:
            if not terminal.take(line.strip()):
                break
        except ChatSpotError as error:
            typer.echo(f"chatspot: {options.one_line(str(error))}", err=True)
            code = code or error.exit_code
    return code if keep_code else 0


class Talk:
    """A chat at a terminal: takes lines, and remembers the last question's regions for ``/overlay``.

    Answers are printed as they come; ``modest`` ones, and those with ``agreement`` (``ChatSpot.ask``), once they are
    whole, for only then is known how they begin.
    """

    def __init__(self, chat: Chat, agreement: int = 0, *, modest: bool = False):
        self.chat, self.agreement, self.modest = chat, agreement, modest
        self.regions: list[Region] = []
        self.labels: list[str | None] = []

    def take(self, line: str) -> bool:
        """Do what a line asks for; False when it is time to leave."""
        command, _, rest = line.partition(" ")
        if command in ("/quit", "/exit"):
            return False
        if command == "/help":
            typer.echo(HELP)
        elif command == "/new":
            self.chat.conversation, self.regions, self.labels = None, [], []
        elif command == "/overlay":
            self.save_overlay(rest.strip())
        elif command.startswith("/"):
            raise MessageError(f"there is no command {command}; /help lists them")
        elif line:
            self.answer(line)
        return True

    def answer(self, line: str) -> None:
        """Print the answer to a question."""
        from chatspot.prompts import read_regions

        question, regions = typed_line(line, self.chat.images[0])
        said = self.whole(question, regions) if self.modest or self.agreement else self.streamed(question, regions)
        named = read_regions(said)
        labels: list[str | None] = [said] if len(regions) == 1 else [None] * len(regions)
        self.regions, self.labels = [*regions, *named], [*labels, *("answer" for _ in named)]

    def streamed(self, question: str, regions: list[Region]) -> str:
        """Print the answer as it comes; gives back its text."""
        said = ""
        for piece in self.chat.stream(question, *regions):
            typer.echo(options.shown(piece), nl=False)
            said += piece
        typer.echo("")
        return said

    def whole(self, question: str, regions: list[Region]) -> str:
        """Print the answer at once; gives back its text, without a reserve."""
        answer = self.chat.ask(question, *regions, agreement=self.agreement)
        typer.echo(options.shown(answer.modest if self.modest else answer.text))
        if answer.agreement is not None:
            typer.echo(options.agreeing(answer.agreement, self.agreement), err=True)
        return answer.text

    def save_overlay(self, name: str) -> None:
        """``/overlay FILE``."""
        if not name:
            raise MessageError("/overlay needs a file to save to, such as /overlay out.png")
        options.save_overlay(Path(name).expanduser(), self.chat.images[0], self.regions, self.labels)
        typer.echo(f"saved {name}")
