"""SPICE 1.0 (Anderson et al. 2016), the authors' own program in process: parser, scene graphs and matching.

Parsing is nearly all of the cost, so each distinct caption is parsed once ever: its tuples are kept (`store`). The
parser, CoreNLP 3.6.0 (`corenlp`), is installed by `install`; without it SPICE is unavailable.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from espret.scoring.java import Loader, errors_of, jars, private, start
from espret.scoring.metric import Captions, Metric, Result, Unavailable, mean
from espret.scoring.spice import install
from espret.scoring.spice.corenlp import Models, Parser
from espret.scoring.spice.store import Store, Tuples
from espret.scoring.watch import Watch, watched

# What changes the tuples of a caption. In every key of the store.
PARSER = f"spice-1.0 {install.VERSION} tokenize,ssplit,parse,lemma"
# Longer captions are not parsed and have no tuples; the grammar's memory and time would end the process instead.
MAX_WORDS = 150
CHUNK = 16  # captions a thread parses between two saves to the store; half a second


class Spice(Metric):
    """SPICE: F1 of the candidate's objects, attributes and relations against the merged graph of the references."""

    names = ("SPICE",)

    def score(self, captions: Captions) -> Result:
        """SPICE of every item, as fractions, and their mean. References merge in their order. Raises Unavailable."""
        of_clips = [[hyp, *refs] for hyp, refs in zip(captions.hyps, captions.refs)]
        tuples = tuples_of((caption for one in of_clips for caption in one), threads=self.settings.threads)
        _warn_of_long(captions.ids, of_clips)
        graphs = SceneGraphs()
        items = []
        for utt, hyp, refs in zip(captions.ids, captions.hyps, captions.refs):
            with errors_of("SPICE", f"scoring {utt}"):
                candidate = graphs.merged([tuples[hyp]])
                items.append(graphs.f1(candidate, graphs.merged([tuples[ref] for ref in refs])))
        return Result({"SPICE": mean(items)}, {"SPICE": items})


class SceneGraphs:
    """Sets of merged tuples and their comparison, by the classes of the SPICE jar."""

    def __init__(self) -> None:
        tools = _tools()
        self._graph = tools.load("edu.anu.spice.SceneGraph")
        self._tuple_set = tools.load("edu.anu.spice.TupleSet")
        self._evaluation = tools.load("edu.anu.spice.Evaluation")
        self._json = tools.load("org.json.simple.parser.JSONParser")()
        self._synonyms = _synonyms()

    def merged(self, captions: Iterable[Tuples]) -> Any:
        """The tuples of the captions' common scene graph, merged in order: WordNet synonyms become one node."""
        graph = self._graph(self._synonyms, True)
        # One conversion to Java for all tuples, not one a word.
        for row in self._json.parse(json.dumps([row for tuples in captions for row in tuples])):
            graph.addTuple(row)
        return self._tuple_set(graph)

    def f1(self, candidate: Any, reference: Any) -> float:
        """SPICE of one merged set against another."""
        no_nan, with_synonyms = False, True
        return float(self._evaluation(candidate, reference, no_nan, with_synonyms).f)


def _warn_of_long(ids: list[str], captions: list[list[str]]) -> None:
    for utt, of_clip in zip(ids, captions):
        longest = max(len(caption.split()) for caption in of_clip)
        if longest > MAX_WORDS:
            what = f"a caption of {utt} has {longest} words; more than {MAX_WORDS} are not parsed and count as nothing"
            print(f"SPICE: warning: {what}", file=sys.stderr)


def tuples_of(captions: Iterable[str], store: Store | None = None, threads: int | None = None) -> dict[str, Tuples]:
    """Tuples of each distinct caption, from the store or parsed now and stored. An empty caption has none, and
    neither has one of more than MAX_WORDS words.

    Raises Unavailable when the parser is not installed.
    """
    if not install.installed():
        raise Unavailable(f"SPICE's parser is not in {install.home()}; run {install.COMMAND}")
    distinct = dict.fromkeys(captions)
    wanted = [caption for caption in distinct if 0 < len(caption.split()) <= MAX_WORDS]
    known: dict[str, Tuples] = {caption: [] for caption in distinct.keys() - set(wanted)}
    kept = store or Store(install.home() / "scene_graphs.sqlite", PARSER)
    try:
        known |= kept.get(wanted)
        for parsed in _parse_all([caption for caption in wanted if caption not in known], threads or cores()):
            kept.put(parsed)
            known |= parsed
    finally:
        if store is None:
            kept.close()
    return known


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _parse_all(captions: list[str], threads: int) -> Iterator[dict[str, Tuples]]:
    """Parse in that many threads; yields each chunk when it is done, in any order."""
    if not captions:
        return
    models = _models()  # loaded once, before the threads share it
    # Neighbours in length: the memory of a chart is not made anew for each.
    captions = sorted(captions, key=len)
    chunks = [captions[first : first + CHUNK] for first in range(0, len(captions), CHUNK)]
    left = iter(reversed(chunks))  # the longest first, so that no thread ends much later than the others
    lock = threading.Lock()

    def worker(watch: Watch) -> None:
        parser = Parser(models)
        while True:
            with lock:
                chunk = next(left, None)
            if chunk is None:
                return
            watch.put({caption: _parse(parser, caption, watch) for caption in chunk})

    yield from watched("SPICE", [worker] * min(threads, len(chunks)))


def _parse(parser: Parser, caption: str, watch: Watch) -> Tuples:
    doing = f"parsing {caption!r:.80}"
    watch.begin(doing)
    with errors_of("SPICE", doing):
        return _rows()(parser.annotate(caption))


def class_path() -> list[Path]:
    """The jars of SPICE and the parser, in an order in which no other CoreNLP comes first."""
    folder = jars() / "spice"
    return [*install.class_path(), folder / "spice-1.0.jar", *sorted((folder / "lib").glob("*.jar"))]


@functools.cache
def _tools() -> Loader:
    return Loader(class_path())


@functools.cache
def _synonyms() -> Any:
    """WordNet's synsets as SPICE reads them, from METEOR's word lists."""
    tools = _tools()
    url = start().JClass("java.net.URL")
    folder = str(tools.load("edu.cmu.meteor.util.Constants").DEFAULT_SYN_DIR_URL.toString())
    names = ("english.exceptions", "english.synsets", "english.relations")
    return tools.load("edu.cmu.meteor.aligner.SynonymDictionary")(*(url(f"{folder}/{name}") for name in names))


@functools.cache
def _models() -> Models:
    with errors_of("SPICE", "loading its parser"):
        return Models(_tools())


@functools.cache
def _rows() -> Callable[[Any], Tuples]:
    """SPICE's step from an annotation to tuples. Python threads may share it."""
    tools = _tools()
    with tools.as_context():
        parser = tools.load("edu.anu.spice.SpiceParser")(None, 1, True)
    annotation = tools.reflect("edu.stanford.nlp.pipeline.Annotation")
    method = private(tools.reflect("edu.anu.spice.SpiceParser").getDeclaredMethod("parseAnnotation", annotation))
    rows = private(tools.reflect("edu.anu.spice.SpiceParser$ProposedTuples").getDeclaredField("tuples"))
    to_json = tools.load("org.json.simple.JSONValue").toJSONString

    def tuples_of_annotation(annotated: Any) -> Tuples:
        # Through JSON: one crossing of the bridge instead of one a word.
        tuples: Tuples = json.loads(str(to_json(rows.get(method.invoke(parser, annotated)))))
        return tuples

    return tuples_of_annotation
