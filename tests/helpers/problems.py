"""Three dozen small programming problems of our own in the format of HumanEval, with reference solutions."""

# ruff: noqa: E501
import inspect
import textwrap

# name(parameters) — what it does — body — pairs of arguments and result
SOURCES = [
    ("running_total(numbers)", "Return the list of sums of the first 1, 2, … numbers.",
     "total, sums = 0, []\nfor number in numbers:\n    total += number\n    sums.append(total)\nreturn sums",
     [("[1, 2, 3]", "[1, 3, 6]"), ("[]", "[]"), ("[-1, 1]", "[-1, 0]")]),
    ("vowels(text)", "Return how many vowels (a, e, i, o, u, either case) a text has.",
     "return sum(sign in 'aeiou' for sign in text.lower())",
     [("'Orchard'", "2"), ("''", "0"), ("'AEIOU'", "5")]),
    ("balanced(text)", "Return whether round, square and curly brackets in a text are balanced.",
     "pairs, stack = {')': '(', ']': '[', '}': '{'}, []\nfor sign in text:\n    if sign in pairs.values():\n        stack.append(sign)\n"
     "    elif sign in pairs and (not stack or stack.pop() != pairs[sign]):\n        return False\nreturn not stack",
     [("'([]{})'", "True"), ("'(]'", "False"), ("'('", "False"), ("'a)'", "False")]),
    ("collatz(n)", "Return the number of steps that the Collatz rule takes from n to 1.",
     "steps = 0\nwhile n != 1:\n    n = n // 2 if n % 2 == 0 else 3 * n + 1\n    steps += 1\nreturn steps",
     [("1", "0"), ("6", "8"), ("27", "111")]),
    ("primes(limit)", "Return all primes below a limit, in order.",
     "sieve = [True] * limit\nfound = []\nfor n in range(2, limit):\n    if sieve[n]:\n        found.append(n)\n"
     "        for multiple in range(n * n, limit, n):\n            sieve[multiple] = False\nreturn found",
     [("10", "[2, 3, 5, 7]"), ("2", "[]"), ("3", "[2]")]),
    ("second_largest(numbers)", "Return the second largest of the different numbers, or None if there is none.",
     "different = sorted(set(numbers))\nreturn different[-2] if len(different) > 1 else None",
     [("[3, 1, 3, 2]", "2"), ("[5, 5]", "None"), ("[]", "None")]),
    ("rotate(items, places)", "Return a list whose items moved to the right by some places, around the end.",
     "if not items:\n    return []\nplaces %= len(items)\nreturn items[-places:] + items[:-places] if places else list(items)",
     [("[1, 2, 3, 4], 1", "[4, 1, 2, 3]"), ("[], 3", "[]"), ("[1, 2], 2", "[1, 2]"), ("[1, 2, 3], 4", "[3, 1, 2]")]),
    ("run_lengths(text)", "Return a list of (sign, length) for each run of equal signs.",
     "import itertools\nreturn [(sign, len(list(run))) for sign, run in itertools.groupby(text)]",
     [("'aab'", "[('a', 2), ('b', 1)]"), ("''", "[]")]),
    ("roman(number)", "Return a number from 1 to 3999 in Roman numerals.",
     "signs = [(1000, 'M'), (900, 'CM'), (500, 'D'), (400, 'CD'), (100, 'C'), (90, 'XC'), (50, 'L'), (40, 'XL'), (10, 'X'), (9, 'IX'), (5, 'V'), (4, 'IV'), (1, 'I')]\n"
     "text = ''\nfor value, sign in signs:\n    text += sign * (number // value)\n    number %= value\nreturn text",
     [("4", "'IV'"), ("1994", "'MCMXCIV'"), ("3999", "'MMMCMXCIX'")]),
    ("is_palindrome(text)", "Return whether a text reads the same backwards, letters and digits alone, either case.",
     "signs = [sign.lower() for sign in text if sign.isalnum()]\nreturn signs == signs[::-1]",
     [("'Never odd or even'", "True"), ("'apple'", "False"), ("''", "True")]),
    ("transpose(rows)", "Return the columns of a table of rows of equal length.",
     "return [list(column) for column in zip(*rows)]",
     [("[[1, 2], [3, 4], [5, 6]]", "[[1, 3, 5], [2, 4, 6]]"), ("[]", "[]")]),
    ("digits_sum(number)", "Return the sum of the decimal digits of an integer.",
     "return sum(int(digit) for digit in str(abs(number)))",
     [("1234", "10"), ("-56", "11"), ("0", "0")]),
    ("merge(left, right)", "Return the sorted merge of two sorted lists.",
     "merged, i, j = [], 0, 0\nwhile i < len(left) and j < len(right):\n    if left[i] <= right[j]:\n        merged.append(left[i])\n        i += 1\n"
     "    else:\n        merged.append(right[j])\n        j += 1\nreturn merged + left[i:] + right[j:]",
     [("[1, 4], [2, 3]", "[1, 2, 3, 4]"), ("[], [1]", "[1]"), ("[1, 1], [1]", "[1, 1, 1]")]),
    ("to_base(number, base)", "Return a number that is not negative in a base from 2 to 16, as text.",
     "digits = ''\nwhile number:\n    digits = '0123456789abcdef'[number % base] + digits\n    number //= base\nreturn digits or '0'",
     [("10, 2", "'1010'"), ("255, 16", "'ff'"), ("0, 3", "'0'")]),
    ("longest_word(text)", "Return the longest word of a text, the first of several.",
     "return max(text.split(), key=len, default='')",
     [("'an apple tree'", "'apple'"), ("''", "''"), ("'aa bb'", "'aa'")]),
    ("common(left, right)", "Return the sorted different items that two lists share.",
     "return sorted(set(left) & set(right))",
     [("[3, 1, 2], [2, 3, 4]", "[2, 3]"), ("[], [1]", "[]")]),
    ("fibonacci(n)", "Return the n-th Fibonacci number; the 0th is 0, the first 1.",
     "a, b = 0, 1\nfor _ in range(n):\n    a, b = b, a + b\nreturn a",
     [("0", "0"), ("1", "1"), ("10", "55"), ("50", "12586269025")]),
    ("greatest_divisor(a, b)", "Return the greatest common divisor of two positive integers.",
     "while b:\n    a, b = b, a % b\nreturn a",
     [("12, 18", "6"), ("7, 13", "1"), ("5, 5", "5")]),
    ("flatten(nested)", "Return the items of lists within lists, in order, as one list.",
     "flat = []\nfor item in nested:\n    flat += flatten(item) if isinstance(item, list) else [item]\nreturn flat",
     [("[1, [2, [3]], []]", "[1, 2, 3]"), ("[]", "[]")]),
    ("count_words(text)", "Return a dictionary from each lower-case word to how often a text has it.",
     "counts = {}\nfor word in text.lower().split():\n    counts[word] = counts.get(word, 0) + 1\nreturn counts",
     [("'a B b'", "{'a': 1, 'b': 2}"), ("''", "{}")]),
    ("binary_search(items, wanted)", "Return the index of an item in a sorted list without repeats, or -1.",
     "low, high = 0, len(items)\nwhile low < high:\n    middle = (low + high) // 2\n    if items[middle] < wanted:\n        low = middle + 1\n"
     "    else:\n        high = middle\nreturn low if low < len(items) and items[low] == wanted else -1",
     [("[1, 3, 5], 3", "1"), ("[1, 3, 5], 4", "-1"), ("[], 1", "-1"), ("[1, 3, 5], 5", "2")]),
    ("caesar(text, shift)", "Return a lower-case text with each letter moved on in the alphabet, around the end.",
     "return ''.join(chr((ord(sign) - 97 + shift) % 26 + 97) if sign.isalpha() else sign for sign in text)",
     [("'abc', 1", "'bcd'"), ("'xyz!', 3", "'abc!'"), ("'abc', -1", "'zab'")]),
    ("pairs_with_sum(numbers, total)", "Return how many pairs of places have numbers of a given sum.",
     "seen, pairs = {}, 0\nfor number in numbers:\n    pairs += seen.get(total - number, 0)\n    seen[number] = seen.get(number, 0) + 1\nreturn pairs",
     [("[1, 2, 3, 4], 5", "2"), ("[2, 2, 2], 4", "3"), ("[], 0", "0")]),
    ("median(numbers)", "Return the median of a list that is not empty.",
     "ordered, half = sorted(numbers), len(numbers) // 2\nreturn ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2",
     [("[3, 1, 2]", "2"), ("[4, 1, 2, 3]", "2.5"), ("[7]", "7")]),
    ("is_leap(year)", "Return whether a year of the Gregorian calendar is a leap year.",
     "return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)",
     [("2000", "True"), ("1900", "False"), ("2024", "True"), ("2023", "False")]),
    ("chunks(items, size)", "Return the items in lists of a given size; the last may be shorter.",
     "return [items[start : start + size] for start in range(0, len(items), size)]",
     [("[1, 2, 3], 2", "[[1, 2], [3]]"), ("[], 2", "[]"), ("[1], 5", "[[1]]")]),
    ("distance(left, right)", "Return the edit distance of two texts (insert, delete, replace).",
     "row = list(range(len(right) + 1))\nfor i, a in enumerate(left, 1):\n    before, row[0] = row[0], i\n    for j, b in enumerate(right, 1):\n"
     "        before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))\nreturn row[-1]",
     [("'kitten', 'sitting'", "3"), ("'', 'ab'", "2"), ("'a', 'a'", "0")]),
    ("power_set(items)", "Return all subsets of a list as lists, the shorter first, in the order of the items.",
     "import itertools\nreturn [list(part) for size in range(len(items) + 1) for part in itertools.combinations(items, size)]",
     [("[1, 2]", "[[], [1], [2], [1, 2]]"), ("[]", "[[]]")]),
    ("without_repeats(items)", "Return the items in order, each once.",
     "return list(dict.fromkeys(items))",
     [("[2, 1, 2]", "[2, 1]"), ("[]", "[]")]),
    ("evaluate(words)", "Return the value of an expression in reverse Polish notation of integers, +, - and *.",
     "stack = []\nfor word in words:\n    if word in '+-*':\n        right, left = stack.pop(), stack.pop()\n"
     "        stack.append(left + right if word == '+' else left - right if word == '-' else left * right)\n    else:\n        stack.append(int(word))\nreturn stack[0]",
     [("['2', '3', '+', '4', '*']", "20"), ("['5', '7', '-']", "-2")]),
    ("neighbours(grid, row, column)", "Return the sum of the up to eight values around a place of a grid.",
     "total = 0\nfor i in range(max(0, row - 1), min(len(grid), row + 2)):\n    for j in range(max(0, column - 1), min(len(grid[0]), column + 2)):\n"
     "        total += grid[i][j] if (i, j) != (row, column) else 0\nreturn total",
     [("[[1, 2], [3, 4]], 0, 0", "9"), ("[[5]], 0, 0", "0"), ("[[1, 1, 1], [1, 0, 1], [1, 1, 1]], 1, 1", "8")]),
    ("title(text)", "Return a text with the first letter of each word in upper case and the rest as it was.",
     "return ' '.join(word[:1].upper() + word[1:] for word in text.split(' '))",
     [("'two words'", "'Two Words'"), ("''", "''"), ("'aB'", "'AB'")]),
    ("longest_rise(numbers)", "Return the length of the longest strictly rising run of neighbours.",
     "best = length = 0\nlast = None\nfor number in numbers:\n    length = length + 1 if last is not None and number > last else 1\n"
     "    best, last = max(best, length), number\nreturn best",
     [("[1, 2, 1, 2, 3]", "3"), ("[]", "0"), ("[2, 2]", "1")]),
    ("change(amount, coins)", "Return the least number of coins that make an amount, or -1.",
     "least = [0] + [None] * amount\nfor value in range(1, amount + 1):\n    ways = [least[value - coin] for coin in coins if coin <= value and least[value - coin] is not None]\n"
     "    least[value] = min(ways) + 1 if ways else None\nreturn -1 if least[amount] is None else least[amount]",
     [("6, [1, 3, 4]", "2"), ("3, [2]", "-1"), ("0, [1]", "0")]),
    ("spiral(rows)", "Return the values of a table clockwise from the outside in, from the upper left.",
     "values = []\nwhile rows:\n    values += rows[0]\n    rows = [list(column) for column in zip(*rows[1:])][::-1]\nreturn values",
     [("[[1, 2, 3], [4, 5, 6], [7, 8, 9]]", "[1, 2, 3, 6, 9, 8, 7, 4, 5]"), ("[]", "[]")]),
    ("matching(pattern, text)", "Return whether a text fits a pattern in which ? is any sign and * any number of signs.",
     "if not pattern:\n    return not text\nif pattern[0] == '*':\n    return matching(pattern[1:], text) or bool(text) and matching(pattern, text[1:])\n"
     "return bool(text) and pattern[0] in ('?', text[0]) and matching(pattern[1:], text[1:])",
     [("'a*c', 'abbc'", "True"), ("'a?c', 'ac'", "False"), ("'*', ''", "True"), ("'', 'a'", "False")]),
]  # fmt: skip


def problem(number: int) -> dict:
    """One problem as a row of HumanEval's file."""
    signature, task, body, examples = SOURCES[number]
    name = signature.partition("(")[0]
    checks = "\n".join(f"    assert candidate({arguments}) == {result}" for arguments, result in examples)
    return {
        "task_id": f"Orchard/{number}",
        "prompt": f'def {signature}:\n    """{task}"""\n',
        "canonical_solution": textwrap.indent(inspect.cleandoc(body), "    ") + "\n",
        "test": f"def check(candidate):\n{checks}\n",
        "entry_point": name,
    }


PROBLEMS = [problem(number) for number in range(len(SOURCES))]
