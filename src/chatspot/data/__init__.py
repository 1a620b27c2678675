"""Training and evaluation data: annotated pictures in, samples out. Regions stay data; no prompt markup is stored."""

from chatspot.data.questions import QuestionSettings, samples_of
from chatspot.data.records import Record, RegionRecord, read_records
from chatspot.data.samples import Sample

__all__ = ["QuestionSettings", "Record", "RegionRecord", "Sample", "read_records", "samples_of"]
