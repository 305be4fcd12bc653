"""Round numbers along an axis."""

from __future__ import annotations

import math

#: Steps between ticks, in powers of ten.
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


def linear_ticks(low: float, high: float, most: int) -> list[float]:
    """Return at most so many round numbers from `low` to `high`, evenly spaced; at least one where low < high."""
    raw = (high - low) / max(most - 1, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in _STEPS if power * factor >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def logarithmic_ticks(low: float, high: float) -> list[float]:
    """Return a few round multiples of powers of ten, fewer the more decades there are; 0 < low < high."""
    decades = math.log10(high / low)
    factors = (1, 1.5, 2, 3, 4, 5, 7) if decades <= 1 else (1, 2, 5) if decades <= 3 else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [factor * 10.0**power for power in powers for factor in factors]
    return [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]


def tick_text(value: float, step: float) -> str:
    """Return a tick as text, with the decimals that tell it from its neighbors `step` away, and a real minus."""
    if value == 0:
        return "0"
    if abs(value) >= 1e6 or abs(value) < 1e-4:
        return f"{value:.3g}".replace("-", "−")
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    text = f"{value:.{decimals}f}"
    # A step of 2.5 has one more decimal than 2.
    if abs(float(text) - value) > 1e-9 * abs(value) + 1e-3 * step:
        text = f"{value:.{decimals + 1}f}"
    return text.replace("-", "−")
