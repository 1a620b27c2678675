"""RegionChat: conversations about regions, written by a language model or by rules from a picture's annotation.

    record -> scene (facts in words, regions as <r1>) -> request -> reply -> dialogue -> checks -> sample

Only words leave the machine: no pixels, no coordinates, no file names. The parts need the extra ``regionchat``.
"""
