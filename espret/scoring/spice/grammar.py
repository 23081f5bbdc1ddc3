"""CoreNLP's English grammar as the arrays of `chart`, read once from its parser and kept beside it."""

from __future__ import annotations

import contextlib
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from espret.files import atomic_write
from espret.scoring.spice import install
from espret.scoring.spice.chart import EXPANSION, RULE, Grammar, group

if TYPE_CHECKING:
    from espret.scoring.spice.corenlp import Models

Table = npt.NDArray[np.float64]  # [rules, columns]: parent, child or children, score


def read_grammar(models: Models) -> Grammar:
    """The grammar of the loaded parser, from the file kept of it where there is one."""
    path = install.home() / install.VERSION / "grammar.npz"
    try:
        with np.load(path, allow_pickle=False) as kept:
            return _grammar(**kept)
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile):
        tables = _tables(models)
    # Where the folder cannot be written to, the next process reads the parser again, which takes half a second.
    with contextlib.suppress(OSError), atomic_write(path, "wb") as stream:
        np.savez(stream, **tables)
    return _grammar(**tables)


def _tables(models: Models) -> dict[str, Any]:
    """Rules as CoreNLP's chart looks them up: binary ones by left or by right child, unary ones, and their closure."""
    pcfg = models.query_field["pparser"].get(models.parser.parserQuery())
    tags, index, goal, binary, unary = (
        models.pcfg_field[name].get(pcfg) for name in ("isTag", "stateIndex", "goalStr", "bg", "ug")
    )
    states = range(len(tags))
    rows = _Rows(models)
    return {
        "goal": int(index.indexOf(goal)),
        "tags": np.array(tags, bool),
        "by_left": rows.binary(rule for state in states for rule in binary.splitRulesWithLC(state)),
        "by_right": rows.binary(rule for state in states for rule in binary.splitRulesWithRC(state)),
        "closure": rows.unary(rule for state in states for rule in unary.closedRulesByChild(state)),
        "unary": rows.unary(rule for state in states for rule in unary.rulesByParent(state)),
    }


class _Rows:
    """Java's rules as rows of numbers."""

    def __init__(self, models: Models) -> None:
        self._of = {
            kind: [models.private_field(kind, name) for name in names]
            for kind, names in (
                ("BinaryRule", ("parent", "leftChild", "rightChild", "score")),
                ("UnaryRule", ("parent", "child", "score")),
            )
        }

    def binary(self, rules: Any) -> Table:
        return self._rows("BinaryRule", rules)

    def unary(self, rules: Any) -> Table:
        return self._rows("UnaryRule", rules)

    def _rows(self, kind: str, rules: Any) -> Table:
        *states, score = self._of[kind]
        return np.array([(*(field.getInt(rule) for field in states), score.getFloat(rule)) for rule in rules])


def _grammar(goal: Any, tags: Any, by_left: Table, by_right: Table, closure: Table, unary: Table) -> Grammar:
    count = len(tags)

    def records(kind: Any, first: Any, second: Any, score: Any) -> Any:
        made = np.empty(len(score), kind)
        for name, column in zip(made.dtype.names, (first, second, score)):
            made[name] = column
        return made

    def rules(table: Table, by: int, other: int) -> Any:
        return group(table[:, by].astype(int), records(RULE, table[:, 0], table[:, other], table[:, -1]), count)

    def expansions(table: Table) -> Any:
        return group(table[:, 0].astype(int), records(EXPANSION, table[:, 1], table[:, -2], table[:, -1]), count)

    # A rule that CoreNLP lists under both children is one rule in a derivation.
    binary = np.unique(np.concatenate([by_left, by_right]), axis=0)
    return Grammar(
        int(goal),
        tags.astype(bool),
        rules(by_left, 1, 2),
        rules(by_right, 2, 1),
        rules(closure, 1, 1),
        expansions(binary),
        expansions(unary),
    )
