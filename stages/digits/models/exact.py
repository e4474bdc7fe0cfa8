"""Arithmetic that gives the same bits on every computer, whatever its processor, its threads and its libraries.

A sum of rounded numbers depends on the order of its terms, and so on the width of vectors, on fused multiply-add and on
how the work is shared out. A sum without any rounding does not. So terms are first rounded to multiples of one power of
two, the unit, so coarse that no partial sum can reach 2^53 units: up to there float64 holds every whole number. Matrix
products by any library are such sums, too.

Everything else is +, -, *, /, square root and rounding to whole numbers, each an operation of its own, which IEEE 754
defines to the last bit; exponentials and logarithms, which it does not define, are built of these.

Sources: J. Demmel, H. D. Nguyen, Parallel reproducible summation, IEEE Transactions on Computers 64 (2015); K. Ozaki,
T. Ogita, S. Oishi, S. M. Rump, Error-free transformations of matrix multiplication, Numerical Algorithms 59 (2012).
"""

import math

import numpy as np

EXACT_BITS = 53  # of whole numbers in float64
PROBABILITY_UNIT = 2.0**-40  # of exponentials before they are added up: exact for up to 2^13 classes
ROUNDER = 1.5 * 2.0**52  # float64 has whole numbers alone near it, so adding it rounds, to even where two are as near
EXPONENT_BIAS, FRACTION_BITS = 1023, 52  # of float64
LOWEST = -700.0  # its exponential is the least that matters, and still has all its bits
# ln 2 in two parts, the first short enough for exact products with whole numbers of up to 20 bits.
# Source: fdlibm, e_exp.c, Sun Microsystems (1993).
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
# Taylor series: the rest is below 3e-13 for exp in [-ln 2 / 2, ln 2 / 2], and 1e-15 for log in [1 / sqrt 2, sqrt 2].
EXP_TERMS = [1 / math.factorial(n) for n in range(10, -1, -1)]
LOG_TERMS = [1 / (2 * n + 1) for n in range(9, -1, -1)]


def bits_of(count: int) -> int:
    """The least b with count <= 2^b, for a count of at least 1."""
    return (count - 1).bit_length()


def power_above(values: np.ndarray) -> int:
    """The least e with |v| < 2^e for all values; 0 if all of them are 0, or some are not finite."""
    return math.frexp(float(np.abs(values).max(initial=0)))[1]


def rounded(values: np.ndarray, unit: float) -> np.ndarray:
    """The nearest multiples of `unit`, a power of two, float64; values must be less than 2^51 units."""
    result: np.ndarray = values + ROUNDER * unit
    result -= ROUNDER * unit
    return result


def exact_mean(values: np.ndarray) -> float:
    """The mean of values, float64 (N,), N > 0, rounded to a unit of which N of them cannot reach 2^53."""
    count = len(values)
    unit = math.ldexp(1, power_above(values) + bits_of(count) + 2 - EXACT_BITS)
    return float(rounded(values, unit).sum()) / count


def exp(values: np.ndarray) -> np.ndarray:
    """Exponentials, relative error below 1e-12, of float64 values up to 700; of those below -700, that of -700."""
    values = np.maximum(values, LOWEST)
    # 2^k e^r with a whole number k and a small r. The sum leaves k, biased, in the last bits; a shift makes 2^k of it.
    biased = values * (1 / (LN2_HIGH + LN2_LOW)) + (ROUNDER + EXPONENT_BIAS)
    powers = (biased.view(np.int64) << FRACTION_BITS).view(np.float64)
    biased -= ROUNDER + EXPONENT_BIAS
    values -= biased * LN2_HIGH
    values -= biased * LN2_LOW
    result = _polynomial(EXP_TERMS, values)
    result *= powers
    return result


def log(values: np.ndarray) -> np.ndarray:
    """Natural logarithms, relative error below 1e-14, of positive float64 values."""
    mantissa, exponent = np.frexp(values)
    small = mantissa < math.sqrt(0.5)
    mantissa, exponent = np.where(small, 2 * mantissa, mantissa), exponent - small.astype(np.float64)
    ratio = (mantissa - 1) / (mantissa + 1)  # log((1 + s) / (1 - s)) = 2 (s + s^3 / 3 + s^5 / 5 + ...)
    series = _polynomial(LOG_TERMS, ratio * ratio)
    series *= 2 * ratio
    series += exponent * LN2_LOW
    result: np.ndarray = exponent * LN2_HIGH + series
    return result


def _polynomial(terms: list[float], values: np.ndarray) -> np.ndarray:
    """The polynomial with these coefficients, the highest power's first."""
    result = np.full_like(values, terms[0])
    for term in terms[1:]:
        result *= values
        result += term
    return result


@np.errstate(invalid="ignore")  # of logits that are not finite
def softmax(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Softmax in three parts: the probabilities are `exponentials / totals`, their logarithms `shifted - log(totals)`.

    Of logits, float64 (classes, N), at most 8,192 classes: `shifted`, the logits less the largest of each image, and
    `exponentials`, of these, both of the same shape; `totals`, float64 (N,), their sums, at least 1. Not finite where
    the logits are not.
    """
    shifted = logits - logits.max(axis=0)
    exponentials = rounded(exp(shifted), PROBABILITY_UNIT)
    return shifted, exponentials, exponentials.sum(axis=0)


def cosine_of_half_turns(turns: float) -> float:
    """cos(pi t) for t in [0, 1], error below 1e-15."""
    angle = math.pi * min(turns, 1 - turns)
    square, result = angle * angle, 0.0
    for n in range(20, 0, -2):
        result = (1 - result) * square / (n * (n - 1))
    return 1 - result if turns <= 0.5 else result - 1
