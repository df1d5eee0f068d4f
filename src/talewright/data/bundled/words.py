"""The people, animals and phrases that all plots share."""

from __future__ import annotations

from talewright.data.bundled.grammar import Character


def _words(text: str) -> list[str]:
    return text.split()


GIRLS = tuple(
    Character(name, "female", "girl")
    for name in _words(
        "Lily Mia Sara Anna Lucy Emma Zoe Ella Nora Amy Molly Kate Ivy Maya Clara Jane Sue Lola "
        "Nina Tess Mary Rosa Ruth"
    )
)
BOYS = tuple(
    Character(name, "male", "boy")
    for name in _words(
        "Tom Max Ben Tim Sam Jack Leo Finn Noah Oscar Billy Peter Henry Luke Adam Eli Theo Jake Dan Toby Owen Kai Joe"
    )
)
CHILDREN = GIRLS + BOYS

PARENTS = (
    Character("{hero.his} mom", "female", "mom", "Mom"),
    Character("{hero.his} dad", "male", "dad", "Dad"),
)
GRANDPARENTS = (
    Character("{hero.his} grandma", "female", "grandma", "Grandma"),
    Character("{hero.his} grandpa", "male", "grandpa", "Grandpa"),
)
FAMILY = PARENTS + GRANDPARENTS

NEIGHBOURS = (
    Character("Mr. Brown", "male", "man"),
    Character("Mr. Hill", "male", "man"),
    Character("Mr. Bell", "male", "man"),
    Character("Mr. Green", "male", "man"),
    Character("Mrs. Stone", "female", "woman"),
    Character("Mrs. Wood", "female", "woman"),
    Character("Mrs. Lake", "female", "woman"),
    Character("Mrs. White", "female", "woman"),
)
TEACHERS = (
    Character("Miss Rose", "female", "teacher"),
    Character("Mrs. Field", "female", "teacher"),
    Character("Mr. Gray", "male", "teacher"),
    Character("Mr. Moon", "male", "teacher"),
)
DOGS = (
    Character("Spot", "male", "dog"),
    Character("Rex", "male", "dog"),
    Character("Buddy", "male", "dog"),
    Character("Bella", "female", "dog"),
    Character("Coco", "female", "dog"),
)
CATS = (
    Character("Whiskers", "male", "cat"),
    Character("Tiger", "male", "cat"),
    Character("Mittens", "female", "cat"),
    Character("Snowy", "female", "cat"),
)

_ANIMAL_NAMES = {
    "male": _words("Pip Rusty Bo Nibbles Barney Otto Fuzzy Milo"),
    "female": _words("Dot Hazel Poppy Tilly Bonnie Pearl Minnie Dora"),
}


def animals(*kinds: str) -> tuple[Character, ...]:
    """Animals of these kinds under every name for animals, he or she."""
    return tuple(
        Character(name, gender, kind) for kind in kinds for gender, names in _ANIMAL_NAMES.items() for name in names
    )


def unnamed(*kinds: str, genders: tuple[str, ...] = ("male", "female")) -> tuple[Character, ...]:
    """Whoever is only called by what they are: "the rabbit", "the baker"."""
    return tuple(Character(f"the {kind}", gender, kind, kind) for kind in kinds for gender in genders)


COLORS = ("red", "blue", "green", "yellow", "white", "orange", "purple", "brown")

PHRASES = {
    # how a story begins
    "once": (
        "[Once upon a time, there was a [little|little|young] {kind} named {hero}."
        "|Once upon a time, there was a {kind} named {hero}."
        "|There once was a [little |]{kind} named {hero}."
        "|{hero} was a [little|young|happy|kind|clever] {kind}."
        "|Once there was a [little|small] {kind} [whose name was|called] {hero}."
        "|There was once a {kind} named {hero}.]"
    ),
    "one_day": "[One day|One day|One morning|One sunny day|One afternoon|One bright morning]",
    "one_day_out": "[One day|One sunny day|One warm morning|One bright morning|One fine day|One afternoon]",
    "soon": "[Soon|Soon|After a while|A little later|Before long]",
    # how one feels
    "happy": "[happy|very happy|so happy|glad|full of joy]",
    "sad": "[sad|very sad|so sad|unhappy]",
    "proud": "[proud|very proud|so proud]",
    "scared": "[scared|afraid|very scared|frightened]",
    "worried": "[worried|very worried|upset]",
    "excited": "[excited|very excited|so excited]",
    "surprised": "[surprised|very surprised|amazed]",
    # what one says
    "hooray": "[Hooray|Yay|Wow|Look|Yes]",
    "thanks": "[Thank you|Thank you so much|Thank you very much|Oh, thank you]",
    "smiled": "[smiled|smiled|laughed|gave a big smile|grinned]",
    "big": "[big|big|large|huge]",
    "small": "[small|little|tiny]",
    # how a story ends
    "slept": (
        "[That night, {hero} [slept very well|fell asleep with a smile|had good dreams|went to bed {happy}]."
        "|When {he} went to bed that night, {he} was still smiling.]"
    ),
    "together": (
        "[And they [all |]lived happily ever after.|They were [good|best] friends from that day on."
        "|From then on, they [played together|met] every day.]"
    ),
}
