"""One question about every region of a folder of pictures: ``chatspot annotate``.

::

    pictures, file of regions -> records (chatspot.data.sources)
                              -> questions, those without an answer in the journal
                              -> engine, a batch at a time -> journal, line by line
    records, journal          -> COCO, region JSON lines, CSV or Label Studio, written whole
"""
