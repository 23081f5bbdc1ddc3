"""SPICE 1.0 (Anderson et al. 2016), the authors' own program in process: parser, scene graphs and matching.

Parsing is nearly all of the cost, so each distinct caption is parsed once ever: its tuples are kept
(espret.scoring.store). The parser, CoreNLP 3.6.0, is installed by espret.scoring.install; without it SPICE is
unavailable.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from espret.scoring import install
from espret.scoring.java import Loader, errors_of, jars, start
from espret.scoring.metric import Result, Tokenised, Unavailable, mean
from espret.scoring.store import Store, Tuples

# What changes the tuples of a caption. In every key of the store.
PARSER = f"spice-1.0 {install.VERSION} tokenize,ssplit,parse,lemma"
CHUNK = 16  # captions a thread parses between two saves to the store; half a second


class Spice:
    """SPICE: F1 of the candidate's objects, attributes and relations against the merged graph of the references."""

    names = ("SPICE",)

    def score(self, captions: Tokenised) -> Result:
        """SPICE of every item, as fractions, and their mean. References merge in their order. Raises Unavailable."""
        tuples = tuples_of([*captions.hyps, *(ref for refs in captions.refs for ref in refs)])
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


def tuples_of(captions: Iterable[str], store: Store | None = None) -> dict[str, Tuples]:
    """Tuples of each distinct caption, from the store or parsed now on all cores and stored. An empty caption has none.

    Raises Unavailable when the parser is not installed.
    """
    if not install.installed():
        raise Unavailable(f"SPICE's parser is not in {install.home()}; run {install.COMMAND}")
    wanted = dict.fromkeys(caption for caption in captions if caption.strip())
    known: dict[str, Tuples] = {caption: [] for caption in captions if not caption.strip()}
    kept = store or Store(install.home() / "scene_graphs.sqlite", PARSER)
    try:
        known |= kept.get(wanted)
        for parsed in _parse_all([caption for caption in wanted if caption not in known]):
            kept.put(parsed)
            known |= parsed
    finally:
        if store is None:
            kept.close()
    return known


def threads() -> int:
    """Parser threads: the cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _parse_all(captions: list[str]) -> Iterator[dict[str, Tuples]]:
    """Parse on all cores; yields each chunk when it is done, in any order.

    The threads are Python's, with one Java call a caption: Java threads that wait for work would keep an interrupted
    process from ending.
    """
    chunks = [captions[first : first + CHUNK] for first in range(0, len(captions), CHUNK)]
    if not chunks:
        return
    _parser()  # loaded once, before the threads share it
    pool = ThreadPoolExecutor(min(threads(), len(chunks)), thread_name_prefix="spice")
    try:
        for done in as_completed([pool.submit(_parse, chunk) for chunk in chunks]):
            yield done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _parse(captions: list[str]) -> dict[str, Tuples]:
    annotation, pipeline, tuples_of_annotation, to_json = _parser()
    parsed: dict[str, Tuples] = {}
    for caption in captions:
        with errors_of("SPICE", f"parsing {caption!r:.80}"):
            # One at a time: CoreNLP's own loop over many keeps its threads in global state that two calls would share.
            annotated = annotation(caption)
            pipeline.annotate(annotated)
            # Through JSON: one crossing of the bridge instead of one a word.
            parsed[caption] = json.loads(str(to_json(tuples_of_annotation(annotated))))
    return parsed


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
def _parser() -> tuple[Any, Any, Callable[[Any], Any], Any]:
    """CoreNLP's Annotation class and pipeline, SPICE's step from an annotation to tuples, and Java's JSON writer.

    Python threads may share them; loading the models takes a second.
    """
    tools = _tools()
    properties = start().JClass("java.util.Properties")()
    # SPICE asks for named entities too and never reads them; without them it starts in a second and needs 2 GB.
    properties.setProperty("annotators", "tokenize,ssplit,parse,lemma")
    with errors_of("SPICE", "loading its parser"), tools.as_context():
        pipeline = tools.load("edu.stanford.nlp.pipeline.StanfordCoreNLP")(properties)
        parser = tools.load("edu.anu.spice.SpiceParser")(None, 1, True)
    annotation = tools.reflect("edu.stanford.nlp.pipeline.Annotation")
    method = _private(tools.reflect("edu.anu.spice.SpiceParser").getDeclaredMethod("parseAnnotation", annotation))
    rows = _private(tools.reflect("edu.anu.spice.SpiceParser$ProposedTuples").getDeclaredField("tuples"))

    def tuples_of_annotation(annotated: Any) -> Any:
        return rows.get(method.invoke(parser, annotated))

    to_json = tools.load("org.json.simple.JSONValue").toJSONString
    return tools.load("edu.stanford.nlp.pipeline.Annotation"), pipeline, tuples_of_annotation, to_json


def _private(member: Any) -> Any:
    member.setAccessible(True)
    return member
