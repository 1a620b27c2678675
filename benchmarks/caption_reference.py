"""What the reference evaluation of captions gives (pycocoevalcap 1.2), kept for the tests.

Needs Java and ``pip install pycocoevalcap==1.2``::

    python benchmarks/caption_reference.py tests/eval/caption_pairs.json tests/eval/caption_reference.json
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def reference_values(pairs: list[tuple[str, list[str]]]) -> dict[str, object]:
    """The words of every text, and the measures of every first text against the others beside it."""
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    tokenizer = PTBTokenizer()
    captions = tokenizer.tokenize({at: [{"caption": text}] for at, (text, _) in enumerate(pairs)})
    references = tokenizer.tokenize(
        {at: [{"caption": text} for text in texts] for at, (_, texts) in enumerate(pairs)}
    )  # fmt: skip
    cider, ciders = Cider().compute_score(references, captions)
    _, rouges = Rouge().compute_score(references, captions)
    program = Meteor()
    meteor, meteors = program.compute_score(references, captions)
    matched = [program._stat(captions[at][0], references[at]) for at in range(len(pairs))]
    java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True).stderr.splitlines()[0]
    return {
        "made_by": "benchmarks/caption_reference.py",
        "with": f"pycocoevalcap 1.2 (PTBTokenizer of Stanford CoreNLP 3.4.1, METEOR 1.5), {java}",
        "cider": float(cider),
        "meteor": meteor,
        "captions": [
            {
                "caption": text,
                "references": texts,
                "words": captions[at][0],
                "reference_words": references[at],
                "cider": float(ciders[at]),
                "rouge_l": float(rouges[at]),
                "meteor": meteors[at],
                "meteor_numbers": [float(number) for number in matched[at].split()],
            }
            for at, (text, texts) in enumerate(pairs)
        ],
    }


if __name__ == "__main__":
    pairs, out = map(Path, sys.argv[1:])
    out.write_text(json.dumps(reference_values(json.loads(pairs.read_text("utf-8"))), indent=1) + "\n", "utf-8")
