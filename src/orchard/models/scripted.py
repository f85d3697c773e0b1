"""A scripted policy's distribution over the next token, exactly: a mixture of styles, each a row of worded parts."""

from collections.abc import Callable
from typing import NamedTuple

Tokens = tuple[int, ...]


class Script(NamedTuple):
    """What a policy writes in one style.

    Attributes:
        share: of the style among the policy's.
        parts: for each part of the response, in their order, its wordings as tokens, with probabilities that sum to 1.
    """

    share: float
    parts: list[dict[Tokens, float]]


class _Place(NamedTuple):
    """Where a writer may be: in a style's part, with the tokens of a wording that are still to come."""

    style: str
    part: int
    rest: Tokens


def course(written: list[int], scripts: dict[str, Script]) -> list[dict[int, float]]:
    """The policy's distribution over the next token at each place of a response that it wrote.

    Nobody sees the style that was dealt, nor which wording was begun: all places are kept at which a writer of the same
    tokens may be, each with its probability.

    Args:
        written: the tokens of the response.
        scripts: of each style.
    """
    found, places = [], {}
    for style, script in scripts.items():
        _enter(places, style, 0, script.share, script.parts)
    for token in written:
        total, probs, after = sum(places.values()), {}, {}
        for place, weight in places.items():
            probs[place.rest[0]] = probs.get(place.rest[0], 0.0) + weight / total
            if place.rest[0] == token:
                _go_on(after, place, weight, scripts[place.style].parts)
        found.append(probs)
        places = after
    return found


def _go_on(places: dict[_Place, float], place: _Place, weight: float, parts: list[dict[Tokens, float]]) -> None:
    if rest := place.rest[1:]:
        after = place._replace(rest=rest)
        places[after] = places.get(after, 0.0) + weight
    else:
        _enter(places, place.style, place.part + 1, weight, parts)


def _enter(places: dict[_Place, float], style: str, part: int, weight: float, parts: list[dict[Tokens, float]]) -> None:
    """Adds the places at the beginning of a part; none behind the last one."""
    for tokens, share in parts[part].items() if part < len(parts) else ():
        place = _Place(style, part, tokens)
        places[place] = places.get(place, 0.0) + weight * share


def tokenized(
    wordings: list[dict[str, float]], whole: Tokens, cut: Callable[[str], Tokens]
) -> list[dict[Tokens, float]] | None:
    """The parts of a response as tokens; None if the tokenizer does not cut the response between them.

    Args:
        wordings: of each part, as texts, the usual one first.
        whole: the tokens of the response in its usual wording, with EOS.
        cut: the tokens of a part's text within a response.
    """
    end = {whole[-1:]: 1.0}
    if all(len(part) == 1 for part in wordings):
        return [{whole: 1.0}]
    parts = [{cut(text): share for text, share in part.items()} for part in wordings]
    usual = tuple(token for part in parts for token in next(iter(part)))
    return [*parts, end] if usual == whole[:-1] else None
