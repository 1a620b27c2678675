"""Measures of captions against what people wrote: CIDEr-D, METEOR and ROUGE-L, over the words of the reference
tokeniser. All equal coco-caption's (pycocoevalcap 1.2), where the words do."""

from chatspot.eval.captions.cider import cider
from chatspot.eval.captions.meteor import Matched, matched, meteor, why_no_meteor
from chatspot.eval.captions.rouge import rouge_l
from chatspot.eval.captions.tokens import caption_tokens

__all__ = ["Matched", "caption_tokens", "cider", "matched", "meteor", "rouge_l", "why_no_meteor"]
