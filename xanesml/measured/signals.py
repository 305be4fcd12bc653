"""Which absorption the columns of a file hold: transmission, fluorescence, the reference foil, or what is asked."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from xanesml.errors import SpectrumError
from xanesml.files.arrays import Floats
from xanesml.measured.screening import DOUBTFUL_NOISE, edge_visibility

#: Names of detectors: before the sample, behind it, behind the reference foil, and beside the sample.
_INCOMING = r"i0|io|i_0|monitor|i0_\w+"
_TRANSMITTED = r"itrans|it|i1|itransmission|trans|i1_\w+"
_BEHIND_FOIL = r"irefer|iref|ir|i2|i2_\w+|iref_\w+"
_FLUORESCENCE = r"(ifluor|iff|if|fluor|fluo|fluorescence|sdd|roi|ge|pips)[_ ]?\d*"
#: Columns that hold an absorption, by what it is; where a file has several of one kind, the first counts.
_DIRECT = {
    "transmission": ("mutrans", "xmu", "mu"),
    "fluorescence": ("mufluor",),
    "reference": ("murefer",),
    "normalized": ("norm", "normtrans", "normfluor"),
}
#: The accepted columns, for messages.
COLUMNS_TEXT = "mutrans, mufluor, xmu, mu, i0 with itrans (it, i1), i0 with ifluor (iff, if, fluor), or norm"
#: What may be chosen by these names whatever the columns are called.
KINDS = ("transmission", "fluorescence", "reference")
_FUNCTIONS: dict[str, Callable[[Floats], Floats]] = {"ln": np.log, "log": np.log, "log10": np.log10, "exp": np.exp}
_OPERATORS: dict[type[ast.operator], Callable[[Floats, Floats], Floats]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
}


#: A name between backticks, or a plain one that is no function.
_NAME = rf"`([^`]*)`|(?<![\w.])(?!(?:{'|'.join(_FUNCTIONS)})\s*\()([^\W\d]\w*)"
#: Before every column in an expression: `if` is a word of Python.
_MARK = "column_"


@dataclass(frozen=True)
class Signal:
    """An absorption made of columns.

    Attributes
    ----------
    mu : ndarray, shape (E,), float64
        The absorption; not finite where a counter was zero.
    formula : str
        How it was made, such as "ln(i0/itrans)".
    uses : tuple of str
        The columns in it.
    """

    mu: Floats
    formula: str
    uses: tuple[str, ...]


def signals(columns: Mapping[str, Floats]) -> dict[str, Signal]:
    """Return the absorptions that columns hold by their names, in lower case.

    The keys are `transmission`, `fluorescence`, `reference` and `normalized`, as far as
    they are there. Several fluorescence detectors are added.
    """

    def first(pattern: str) -> str | None:
        return next((name for name in columns if re.fullmatch(pattern, name)), None)

    found = {
        kind: Signal(columns[name], name, (name,))
        for kind, names in _DIRECT.items()
        if (name := next((one for one in names if one in columns), None)) is not None
    }
    incoming, behind, foil = first(_INCOMING), first(_TRANSMITTED), first(_BEHIND_FOIL)
    detectors = [name for name in columns if re.fullmatch(_FLUORESCENCE, name)]
    if incoming and behind and "transmission" not in found:
        found["transmission"] = evaluated(f"ln({incoming}/{behind})", columns)
    if incoming and detectors and "fluorescence" not in found:
        total = detectors[0] if len(detectors) == 1 else f"({'+'.join(detectors)})"
        found["fluorescence"] = evaluated(f"{total}/{incoming}", columns)
    if behind and foil and "reference" not in found:
        found["reference"] = evaluated(f"ln({behind}/{foil})", columns)
    return found


def evaluated(expression: str, columns: Mapping[str, Floats]) -> Signal:
    """Return the absorption that an expression of columns gives.

    Parameters
    ----------
    expression : str
        Names of columns, numbers, + − * / and parentheses, and ln, log10 and exp, such as
        "(If1+If2+If3)/I0". Names in any case; those that are no identifiers go between backticks.
    columns : mapping of str to ndarray, shape (E,), float64
        The columns by name, in lower case.

    Raises
    ------
    SpectrumError
        If it cannot be understood or names another column.
    """
    names = {_identifier(name): name for name in columns}
    text = re.sub(_NAME, lambda match: _identifier(match[1] or match[2]), expression.lower())
    used: list[str] = []

    def value(node: ast.expr) -> Floats:
        match node:
            case ast.Constant(value=int() | float() as number):
                return np.asarray(float(number))
            case ast.Name(id=name) if name in names:
                used.append(names[name])
                return columns[names[name]]
            case ast.Name(id=name):
                raise SpectrumError(f"there is no column {_without_mark(name)!r}, only {', '.join(columns)}")
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -value(operand)
            case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _OPERATORS:
                return _OPERATORS[type(operator)](value(left), value(right))
            case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in _FUNCTIONS:
                return _FUNCTIONS[name](value(argument))
        raise SpectrumError(
            f"the signal {expression!r} holds {_without_mark(ast.unparse(node))!r}; "
            "give columns, numbers, + - * / ( ), ln, log10, exp"
        )

    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError) as error:
        raise SpectrumError(
            f"the signal {expression!r} is no expression; give columns such as (if1+if2)/i0 of {', '.join(columns)}"
        ) from error
    # Zero counts are checked later, where the number of the point is known.
    with np.errstate(all="ignore"):
        mu = value(tree.body)
    if not used:
        raise SpectrumError(f"the signal {expression!r} names no column; it has {', '.join(columns)}")
    return Signal(np.asarray(mu, dtype=np.float64), expression.strip(), tuple(dict.fromkeys(used)))


def _identifier(name: str) -> str:
    return _MARK + re.sub(r"\W", "_", name)


def _without_mark(text: str) -> str:
    return text.replace(_MARK, "")


def asked(wanted: str, columns: Mapping[str, Floats]) -> Signal:
    """Return the absorption that is asked for: a kind of signal, a column by name or number, or an expression.

    Raises
    ------
    SpectrumError
        If the columns do not hold it.
    """
    known, name = signals(columns), wanted.strip().lower()
    if name in columns:
        return Signal(columns[name], name, (name,))
    if name in KINDS:
        if name in known:
            return known[name]
        has = ", ".join(kind for kind in KINDS if kind in known) or "none of these by their names"
        raise SpectrumError(f"there is no {name} among the columns {', '.join(columns)}, which hold {has}")
    if re.fullmatch(r"[\w.]+", name) and not re.search(r"[+*/()-]", name):
        raise SpectrumError(f"there is no column {wanted!r}; it has {', '.join(columns)}")
    return evaluated(wanted, columns)


def chosen(columns: Mapping[str, Floats], energy: Floats, edge: float) -> tuple[Signal, str] | None:
    """Return the absorption of the sample that shows the edge, and why it was taken where there was a choice.

    Transmission is taken where its noise is below 1 % of its edge step, as fluorescence of a
    concentrated sample is attenuated; else the one with the least noise against its step.

    Parameters
    ----------
    columns : mapping of str to ndarray, shape (E,), float64
        The columns by name, in lower case.
    energy : ndarray, shape (E,), float64, eV
        Photon energies.
    edge : float, eV
        Tabulated energy of the edge.

    Returns
    -------
    (Signal, str) or None
        The absorption, and a sentence, empty without a choice; None without such columns.
    """
    known = signals(columns)
    choice = {kind: known[kind] for kind in ("transmission", "fluorescence") if kind in known}
    if not choice:
        return (known["normalized"], "") if "normalized" in known else None
    if len(choice) == 1:
        return next(iter(choice.values())), ""
    noise = {kind: edge_visibility(energy, signal.mu, edge) for kind, signal in choice.items()}
    first, other = choice
    taken = first if noise[first] <= DOUBTFUL_NOISE or noise[first] <= noise[other] else other
    told = ", ".join(
        f"{kind} {'shows no edge' if not np.isfinite(level) else f'has a noise of {level:.4f} edge steps'}"
        for kind, level in noise.items()
    )
    return choice[taken], f"of {first} and {other}, {taken} was taken: {told}"
