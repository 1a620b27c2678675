"""What one client, and all of them together, may ask of the server."""

from __future__ import annotations

from dataclasses import dataclass

MOST_MESSAGES = 256  # of a conversation
MOST_PARTS = 256  # of a message
MOST_CHARACTERS = 65_536  # of all texts of a conversation; 2,048 tokens are the most that a model reads
MOST_POINTS = 4_000  # of all polygons and scribbles of a conversation; 10,000 of one scribble take 7 s to outline
MOST_VALUES = 150_000  # of a request's JSON; ten million empty lists, which fit into 32 MB, would take 700 MB
MOST_FIELDS = 64  # of an object; each unknown one makes an error of a kilobyte
MOST_STOPS, LONGEST_STOP = 4, 256  # texts that end an answer, and characters of each; OpenAI takes 4
MOST_RUNS = 20_000  # of all its masks; the worst take 1.4 s
PREFILL_TOKENS = 1024  # prompt tokens read between two steps, so that running answers do not stall
RETRY_LOADING_S = 5
RETRY_BUSY_S = 2
BODY_COPIES = 3  # a body is in memory as bytes, as parsed text and as decoded pictures
PIXEL_BYTES = 3
VIEW_BYTES = 3 * 2**19  # a view drawn for the encoder; nano's take 0.9 MB, the paper's 0.6 MB
DISCARD_S = 5.0  # how long the rest of a refused body is read, so that its client can read the answer


@dataclass(frozen=True)
class Limits:
    """All defaults are our choice, for a machine of 4 GB and a model like nano."""

    body_bytes: int = 32 * 2**20
    pixels: int = 25_000_000  # of a picture
    pictures: int = 8
    regions: int = 32
    tokens: int = 512  # of an answer
    default_tokens: int = 256  # of an answer whose client names no limit
    batch: int = 16  # answers computed together
    queue: int = 64  # requests that wait, or are being read or written
    held_bytes: int = 2**30  # bodies and pictures of all requests
    header_s: float = 20.0  # until a connection has sent its request's head
    body_s: float = 30.0  # until a body has come
    answer_s: float = 120.0  # until an answer is complete, waiting included
    write_s: float = 30.0  # until a client takes the next piece
    grace_s: float = 30.0  # until running answers are cut off after SIGTERM
