"""A model behind any OpenAI-compatible server: vLLM, Ollama, a hosted one, or this project's own.

::

    conversation -> messages in the model's region dialect, pictures as data: URLs      speech, pictures
    messages     -> the server, over the official client, with back-off and time-outs   asking
    its answer   -> the same regions in this project's own text, in pieces as it comes  speech, growing
"""

from chatspot.engine.remote.remote_engine import RemoteEngine, open_remote
from chatspot.engine.remote.speech import OWN_SERVER

__all__ = ["OWN_SERVER", "RemoteEngine", "open_remote"]
