"""Looking at data before training on it: the doctor, sheets of drawn samples, the data card."""

from chatspot.data.looking.card import data_card
from chatspot.data.looking.doctor import Findings, examine
from chatspot.data.looking.figures import Survey, survey
from chatspot.data.looking.pictures import DataSet, Dialogue, Picture, find_sets, pictures_of
from chatspot.data.looking.sheets import write_sheets

__all__ = [
    "DataSet",
    "Dialogue",
    "Findings",
    "Picture",
    "Survey",
    "data_card",
    "examine",
    "find_sets",
    "pictures_of",
    "survey",
    "write_sheets",
]
