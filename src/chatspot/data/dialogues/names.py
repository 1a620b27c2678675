"""Names of things: what may be asked for in vain, and which names must not be set against each other."""

from __future__ import annotations

import re
from functools import lru_cache

# the 80 object classes of COCO 2014 and 2017 (Lin et al. 2014; categories of instances_val2017.json)
COCO_NAMES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
    "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip

# Names of which one thing may bear two (our choice). A "no" is never built from two of one line.
ALIKE = tuple(
    frozenset(line.split(", "))
    for line in (
        "person, people, man, men, woman, women, boy, girl, child, children, kid, baby, guy, lady, player, rider, "
        "skier, surfer, skateboarder, snowboarder, batter, catcher, umpire, pitcher, pedestrian, driver, crowd, "
        "human, toddler",
        "bicycle, bike, motorcycle, motorbike, scooter, moped, cycle",
        "car, truck, bus, van, vehicle, suv, taxi, cab, jeep, pickup, minivan, lorry, train, trailer, automobile",
        "airplane, plane, aeroplane, jet, aircraft",
        "boat, ship, canoe, kayak, sailboat, vessel, ferry",
        "couch, sofa, chair, armchair, bench, seat, stool, bed, loveseat",
        "tv, television, monitor, screen, tv monitor, laptop, computer, display",
        "cell phone, phone, mobile phone, smartphone, telephone, remote",
        "cup, mug, glass, wine glass, bowl, bottle, vase, jar, pot, pitcher, container",
        "handbag, purse, bag, backpack, suitcase, luggage, briefcase, tote",
        "dining table, table, desk, counter, countertop",
        "potted plant, plant, flower, flowers, tree, bush, pottedplant, houseplant, leaves, vase",
        "cow, cattle, bull, ox, calf, horse, pony, sheep, goat, lamb, donkey",
        "dog, puppy, cat, kitten, bear, teddy bear, animal, stuffed animal, toy",
        "bird, duck, goose, pigeon, seagull, parrot, chicken, gull, swan, owl",
        "donut, doughnut, cake, pastry, dessert, bread, sandwich, hot dog, burger, food, pizza",
        "orange, apple, fruit, tangerine, lemon, peach, banana, broccoli, carrot, vegetable",
        "refrigerator, fridge, freezer, oven, stove, microwave, toaster, appliance",
        "skis, ski, snowboard, skateboard, surfboard, board, wakeboard",
        "frisbee, sports ball, ball, baseball, tennis ball, soccer ball, disc, kite",
        "fork, knife, spoon, utensil, silverware, cutlery",
        "stop sign, sign, street sign, traffic light, traffic sign, signal, license plate, text",
        "book, magazine, notebook, keyboard, paper",
        "toilet, sink, bathtub, basin, urinal",
        "clock, watch, alarm clock, parking meter, meter, fire hydrant, hydrant",
    )
)

# what has no colour of its own worth a question: people, what shows other things in itself, and what stands in the
# light or against it rather than bearing a colour (our choice)
COLOURLESS = frozenset((
    "mirror", "window", "glass", "windshield", "windscreen", "reflection", "shadow", "wine", "tv", "television",
    "screen", "monitor", "laptop", "crowd", "text", "photo", "picture", "painting", "poster", "bottle", "license plate",
    "wine glass", "cell phone", "tv monitor", "snow", "sand", "tree", "building", "house", "bridge", "mountain",
    "water", "sea", "river", "food",
))  # fmt: skip


def plain_name(name: str) -> str:
    """A name for comparing: lower case, one blank between words, no underscores."""
    return " ".join(re.sub(r"[_\s]+", " ", name).lower().split())


def could_be_one(first: str, second: str) -> bool:
    """Whether one thing might bear both names: they share a word (but for its plural ending) or a line of ALIKE."""
    words, lines = words_and_lines(first)
    other_words, other_lines = words_and_lines(second)
    return not words.isdisjoint(other_words) or not lines.isdisjoint(other_lines)


@lru_cache(maxsize=50_000)
def words_and_lines(name: str) -> tuple[frozenset[str], frozenset[int]]:
    """The words of a name without plural endings, and the numbers of the lines of ALIKE that it, or its last word,
    stands in."""
    name = plain_name(name)
    words = name.split()
    lines = (at for at, line in enumerate(ALIKE) if name in line or (words and words[-1] in line))
    return frozenset(word.rstrip("s") for word in words), frozenset(lines)


def is_person(name: str) -> bool:
    """Whether a name is one of a person."""
    return 0 in words_and_lines(name)[1]


def has_colour(name: str) -> bool:
    """Whether the colour of such a thing is worth a question."""
    name = plain_name(name)
    return bool(name) and not is_person(name) and name not in COLOURLESS and name.split()[-1] not in COLOURLESS
