"""The words of the generated tasks: the whole vocabulary of the models that are pretrained on them."""

OPERATORS = {"+": "add", "-": "sub", "*": "mul"}
SHORTHAND = "gix orf blik hob pel mip wug dax zup fen tob lar kiv nud sep yat rog cul wep jin".split()
PAIRS = {"(": ")", "[": "]", "{": "}"}
ATTRIBUTES = {
    "color": "red blue green black white pink".split(),
    "size": "tiny small medium large huge vast".split(),
    "home": "sea hill wood cave lake town".split(),
}
RELATIONS = ["less", "more", "same"]
LARGEST_NUMBER = 40
WORDS = [
    *(str(digit) for digit in range(10)),
    *"+ - * = > , | : calc ans from take get".split(),
    *OPERATORS.values(),
    *(str(number) for number in range(LARGEST_NUMBER + 1)),
    *"close fact cmp".split(),
    *PAIRS.keys(),
    *PAIRS.values(),
    *SHORTHAND,
    *ATTRIBUTES,
    *(value for values in ATTRIBUTES.values() for value in values),
    *RELATIONS,
]
