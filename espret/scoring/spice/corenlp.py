"""Caption -> CoreNLP 3.6.0's annotation with the dependencies that SPICE reads, the same as CoreNLP's pipeline makes.

The chart of a sentence, nearly all of the time, is filled by `chart`; lexicon, tree, dependencies and lemmas are
CoreNLP's. Where two parses tie, or numba is not there, the whole caption is left to CoreNLP.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from espret.scoring.java import Loader, private, start

if TYPE_CHECKING:
    from espret.scoring.spice.chart import Derivation

LONG = 50  # words from which on one sentence is parsed at a time, its chart taking up to 600 MB
NLP = "edu.stanford.nlp."
LEXPARSER = NLP + "parser.lexparser."

Cell = tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32]]  # states and scores of a word


class Models:
    """What all threads share: the pipeline, its parts, its grammar, and the cells of the words seen so far."""

    def __init__(self, tools: Loader) -> None:
        # Both take a while and do not need each other.
        threading.Thread(target=_import_chart, daemon=True).start()
        self._tools = tools
        properties = start().JClass("java.util.Properties")()
        # SPICE asks for named entities too and never reads them; without them it starts in a second and needs 2 GB.
        properties.setProperty("annotators", "tokenize,ssplit,parse,lemma")
        with tools.as_context():
            self.pipeline = tools.load(NLP + "pipeline.StanfordCoreNLP")(properties)
        self.annotation = tools.load(NLP + "pipeline.Annotation")
        parts = private(tools.reflect(NLP + "pipeline.AnnotationPipeline").getDeclaredField("annotators"))
        self.tokenizer, self.splitter, annotator, self.lemmatiser = parts.get(self.pipeline)
        annotator_class = tools.reflect(NLP + "pipeline.ParserAnnotator")
        self.parser, self._structures, self._extras = (
            private(annotator_class.getDeclaredField(name)).get(annotator)
            for name in ("parser", "gsf", "extraDependencies")
        )
        self._utilities = tools.load(NLP + "pipeline.ParserAnnotatorUtils")
        self._graphs = tools.load(NLP + "semgraph.SemanticGraphFactory")
        keys = NLP + "semgraph.SemanticGraphCoreAnnotations$"
        self._graph_key = tools.reflect(keys + "CollapsedCCProcessedDependenciesAnnotation")
        self.sentences_key = tools.reflect(NLP + "ling.CoreAnnotations$SentencesAnnotation")
        self.tokens_key = tools.reflect(NLP + "ling.CoreAnnotations$TokensAnnotation")
        self.label = tools.load(NLP + "ling.CoreLabel")
        self.boundary = tools.load(LEXPARSER + "Lexicon")
        self.query_field = {
            name: self.private_field("LexicalizedParserQuery", name)
            for name in ("pparser", "originalSentence", "debinarizer", "subcategoryStripper")
        }
        self.pcfg_field = {
            name: self.private_field("ExhaustivePCFGParser", name)
            for name in ("iScore", "floodTags", "stateIndex", "tf", "isTag", "goalStr", "bg", "ug")
        }
        self.cells: dict[tuple[str, bool], Cell | None] = {}
        self.names: dict[int, str] = {}

    def private_field(self, class_name: str, name: str) -> Any:
        """The java.lang.reflect.Field of a class of CoreNLP's parser."""
        return private(self._tools.reflect(LEXPARSER + class_name).getDeclaredField(name))

    @functools.cached_property
    def grammar(self) -> Any:
        """The espret.scoring.spice.chart.Grammar, None without numba."""
        if importlib.util.find_spec("numba") is None:
            return None
        from espret.scoring.spice.grammar import read_grammar

        return read_grammar(self)

    def add_tree(self, sentence: Any, tree: Any) -> None:
        """Set tree, tags and dependencies of a sentence, as the parse annotator does, but one graph of three."""
        trees = start().JClass("java.util.Collections").singletonList(tree)
        self._utilities.fillInParseAnnotations(False, False, self._structures, sentence, trees, self._extras)
        structure = self._structures.newGrammaticalStructure(tree)
        sentence.set(self._graph_key, self._graphs.generateCCProcessedDependencies(structure, self._extras))


def _import_chart() -> None:
    if importlib.util.find_spec("numba") is not None:
        importlib.import_module("espret.scoring.spice.chart")


_long_sentences = threading.Lock()


class Parser:
    """CoreNLP for one thread."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._query = models.parser.parserQuery()
        self._pcfg = models.query_field["pparser"].get(self._query)
        self._debinarize, self._strip = (
            models.query_field[name].get(self._query) for name in ("debinarizer", "subcategoryStripper")
        )
        self._nodes = models.pcfg_field["tf"].get(self._pcfg)
        self._lists = start().JClass("java.util.Arrays")
        self._chart = self._new_chart()

    def _new_chart(self) -> Any:
        if self._models.grammar is None:
            return None
        from espret.scoring.spice.chart import Chart

        return Chart(self._models.grammar)

    def annotate(self, caption: str) -> Any:
        """The annotation of a caption that is not empty. Memory grows with the square of its length, time faster."""
        models = self._models
        annotation = models.annotation(caption)
        models.tokenizer.annotate(annotation)
        models.splitter.annotate(annotation)
        sentences = [(one, list(one.get(models.tokens_key))) for one in annotation.get(models.sentences_key)]
        longest = max((len(tokens) for _, tokens in sentences), default=0)
        with _long_sentences if longest > LONG else contextlib.nullcontext():
            if self._chart is not None and self._parse(annotation, sentences):
                return annotation
            annotation = models.annotation(caption)
            models.pipeline.annotate(annotation)
            return annotation

    def _parse(self, annotation: Any, sentences: list[tuple[Any, list[Any]]]) -> bool:
        """Add to the annotation what the pipeline would; False where a tree is not certain."""
        trees = [self._tree(tokens) for _, tokens in sentences]
        if any(tree is None for tree in trees):
            return False
        for (sentence, _), tree in zip(sentences, trees):
            self._models.add_tree(sentence, tree)
        self._models.lemmatiser.annotate(annotation)
        return True

    def _tree(self, tokens: list[Any]) -> Any:
        cells = [self._cell(str(token.word()), at == 0) for at, token in enumerate(tokens)]
        cells.append(self._cell("", False))
        known = [cell for cell in cells if cell is not None]
        if len(known) < len(cells):
            return None
        chart = self._chart if len(tokens) <= LONG else self._new_chart()
        derivation = chart.best(known)
        return None if derivation is None else self._finish(derivation, tokens)

    def _cell(self, word: str, first: bool) -> Cell | None:
        """States and scores of a word, in first place or not, the only context that the lexicon looks at; for the empty
        word, of the mark of the sentence's end. None where the lexicon has no tag for it."""
        cells = self._models.cells
        if (word, first) not in cells:
            words = [word] if first or not word else ["the", word]
            at = len(words) - 1 if word else 1
            self._query.parse(self._lists.asList([self._label(one or "the") for one in words]))
            field = self._models.pcfg_field
            row = np.array(field["iScore"].get(self._pcfg)[at][at + 1], np.float32)
            states = np.flatnonzero(row > -np.inf).astype(np.uint32)
            cells[word, first] = None if field["floodTags"].getBoolean(self._pcfg) else (states, row[states])
        return cells[word, first]

    def _label(self, word: str) -> Any:
        label = self._models.label()
        label.setWord(word)
        label.setValue(word)
        return label

    def _finish(self, derivation: Derivation, tokens: list[Any]) -> Any:
        """The tree of a derivation after CoreNLP's own last steps, its leaves being the tokens."""
        boundary = self._label(self._models.boundary.BOUNDARY)
        labels = [*tokens, boundary]
        nodes: list[Any] = [None] * len(derivation.state)
        for at in reversed(range(len(nodes))):
            left, right = derivation.left[at], derivation.right[at]
            if left < 0:
                children = [self._nodes.newLeaf(labels[derivation.word[at]])]
            else:
                children = [nodes[child] for child in (left, right) if child >= 0]
            nodes[at] = self._nodes.newTreeNode(self._name(derivation.state[at]), self._lists.asList(children))
            if left < 0:
                nodes[at].label().setTag(nodes[at].label().value())
        tree = self._strip.transformTree(self._debinarize.transformTree(nodes[0]))
        self._models.query_field["originalSentence"].set(self._query, self._lists.asList(tokens))
        self._query.restoreOriginalWords(tree)
        return tree

    def _name(self, state: int) -> str:
        names = self._models.names
        if state not in names:
            names[state] = str(self._models.pcfg_field["stateIndex"].get(self._pcfg).get(state))
        return names[state]
