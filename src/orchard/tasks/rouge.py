"""How like a reference a summary is: ROUGE-L, as XSum is scored."""

import functools


def rouge_l(reference: str, response: str) -> float:
    """ROUGE-L, 0 to 1: F1 of the longest common subsequence of stemmed words, as google-research's rouge-score has it.

    That package fills a table of all pairs of words; here a row of it is one integer, a bit for each word of the
    reference (Hyyrö, 2004: bit-parallel LCS-length computation revisited).
    """
    expected, given = (_words()(text) for text in (reference, response))
    if not expected or not given:
        return 0.0
    places: dict[str, int] = {}
    for place, word in enumerate(expected):
        places[word] = places.get(word, 0) | 1 << place
    row = every = (1 << len(expected)) - 1
    for word in given:
        same = row & places.get(word, 0)
        row = (row + same | row - same) & every
    common = len(expected) - row.bit_count()
    precision, recall = common / len(given), common / len(expected)
    return 2 * precision * recall / (precision + recall) if common else 0.0


@functools.cache
def _words():
    """rouge-score's splitting of a text into stemmed words; imported when first used, as few studies need it."""
    from rouge_score.tokenizers import DefaultTokenizer

    return DefaultTokenizer(use_stemmer=True).tokenize
