"""The options of ps(1) that people give to `docker top`, as columns and a choice of processes. Pure.

    -ef, -eF, -el, -ely, -ej          UNIX formats, clustered       aux, axu, l, v, j      BSD formats
    -o pid,comm  -eo pid,args  o pid  columns by name               -O user                the usual ones and these
    -p 1,2  -C name  -u user          choices                       --sort -rss,pid        order
    -L, -T, H                         threads, with LWP or SPID     -H, f, --forest        parents before children

Which processes there are is the container's to say: -e, -A, a and x choose all of them, as everything does.
"""

from collections.abc import Iterator
from typing import NamedTuple

from wardian.engine.observe.ps_columns import COLUMNS, SYNONYMS
from wardian.errors import INVALID, NOT_IMPLEMENTED, WardianError

_SHORT = "pid tty time ucmd"
# by the set of format letters
_UNIX = {
    "": _SHORT,
    "f": "named-user pid ppid c stime tty time cmd",
    "F": "named-user pid ppid c sz rss psr stime tty time cmd",
    "l": "f s uid pid ppid c opri ni addr sz wchan tty time ucmd",
    "ly": "s uid pid ppid c opri ni rss sz wchan tty time ucmd",
    "fl": "f s uid pid ppid c opri ni addr sz wchan stime tty time cmd",
    "j": "pid pgid sid tty time ucmd",
    "fj": "named-user pid ppid pgid sid c stime tty time cmd",
}
_BSD = {
    "": "pid tty stat bsdtime args",
    "u": "user pid %cpu %mem vsz rss tty stat bsdstart bsdtime args",
    "v": "pid tty stat bsdtime maj_flt trs drs rss %mem args",
    "l": "f uid pid ppid priority ni vsz rss wchan stat tty bsdtime args",
    "j": "ppid pid pgid sid tty tpgid stat uid bsdtime args",
}
_ALL_UNIX, _ALL_BSD, _WIDE = "eAadN", "axgT", "wn"
_LISTS = {"p": "pid", "C": "comm", "u": "user", "U": "user"}
_WORKS = (
    "-e -A -a -d -f -F -l -y -j -L -T -H -w, a x u v l j f H w, -o -O -p -C -u --pid --format --sort --forest work "
    "(docs/observe.md)"
)


class Wanted(NamedTuple):
    """`columns` with their titles; `chosen`: column → values, of which one must be right; `order`: columns, a minus
    before those that go down; `threads`: each has a row; `tree`: children follow their parent, "lines" drawn before
    their commands (--forest) or "spaces" (-H)."""

    columns: tuple[tuple[str, str], ...]
    chosen: tuple[tuple[str, tuple[str, ...]], ...] = ()
    order: tuple[str, ...] = ()
    threads: bool = False
    tree: str = ""


def read_ps_options(text: str) -> Wanted:
    """Raises WardianError in the words of ps, or NOT_IMPLEMENTED for what only ps itself can do."""
    reading = _Reading(text.split())
    for word in reading.words:
        reading.take(word)
    return reading.wanted()


class _Reading:
    def __init__(self, words: list[str]) -> None:
        self.words = iter(words)
        self._unix: set[str] = set()
        self._bsd: set[str] | None = None
        self._named: list[tuple[str, str]] = []
        self._more: list[tuple[str, str]] = []
        self._chosen: list[tuple[str, tuple[str, ...]]] = []
        self._order: list[str] = []
        self._threads = ""  # L, T or, of BSD, H
        self._tree = ""

    def take(self, word: str) -> None:
        if word.startswith("--"):
            self._long(word)
        elif word.startswith("-") and "x" not in word.partition("o")[0]:
            self._cluster(word[1:])
        else:  # "-aux" is "aux" where nobody is called x, as ps has it
            self._bsd = self._bsd or set()
            self._bsd_cluster(word.removeprefix("-"))

    def _long(self, word: str) -> None:
        name, sign, value = word[2:].partition("=")
        if name == "forest" and not sign:
            self._tree = "lines"
            return
        value = value if sign else next(self.words, "")
        if name == "sort":
            self._order += [_column(one.strip("+")) for one in value.split(",")]
        elif name == "format":
            self._named += _names(value, "format specification must follow --format")
        elif name == "pid":
            self._chosen.append(("pid", tuple(value.split(","))))
        else:
            raise _cannot(word)

    def _cluster(self, letters: str) -> None:
        for at, letter in enumerate(letters):
            if letter in ("o", "O", *_LISTS):
                self._valued(letter, letters[at + 1 :] or next(self.words, ""))
                return
            if letter in "fFljy":
                self._unix.add(letter)
            elif letter in "LT":
                self._list_threads(letter)
            elif letter == "H":
                self._tree = self._tree or "spaces"
            elif letter not in _ALL_UNIX + _WIDE:
                raise _cannot(f"-{letter}")

    def _bsd_cluster(self, letters: str) -> None:
        assert self._bsd is not None
        for at, letter in enumerate(letters):
            if letter in "oOpU":
                self._valued(letter, letters[at + 1 :] or next(self.words, ""))
                return
            if letter in "uvlj":
                self._bsd.add(letter)
            elif letter == "H":
                self._list_threads(letter)
            elif letter == "f":
                self._tree = "lines"
            elif letter not in _ALL_BSD + _WIDE:
                raise _cannot(letter)

    def _list_threads(self, letter: str) -> None:
        if self._threads not in ("", letter):
            raise _refused(
                f"error: thread flags conflict; can't use both {_thread_flag(self._threads)} and {_thread_flag(letter)}"
            )
        self._threads = letter

    def _valued(self, letter: str, value: str) -> None:
        if letter == "o":
            self._named += _names(value, "format specification must follow -o")
        elif letter == "O":
            self._more += _names(value, "format or sort specification must follow -O")
        else:
            self._chosen.append((_LISTS[letter], tuple(value.replace(",", " ").split())))

    def wanted(self) -> Wanted:
        columns = tuple(self._named or self._format())
        if not any(title == "PID" for title, _ in columns):
            raise _refused("Couldn't find PID field in ps output")
        return Wanted(columns, tuple(self._chosen), tuple(self._order), bool(self._threads), self._tree)

    def _format(self) -> Iterator[tuple[str, str]]:
        if self._more:
            names = ["pid", *(name for _, name in self._more), "s", "tty", "time", "args"]
        elif self._bsd is not None and (self._bsd or not self._unix):
            names = _with_threads(_of_format(_BSD, self._bsd, ""), self._threads, counted="u" in self._bsd)
        else:
            letters = {"F"} if "F" in self._unix else self._unix
            names = _with_threads(_of_format(_UNIX, letters, "-"), self._threads, counted=bool(letters & {"f", "F"}))
            if self._bsd is not None:  # "-ef f": a UNIX format with BSD's state
                names.insert(names.index("tty") + 1, "stat")
        return ((COLUMNS[name].title, name) for name in names)


def _of_format(formats: dict[str, str], letters: set[str], dash: str) -> list[str]:
    key = "".join(sorted(letters))
    if key not in formats:
        raise _cannot(dash + key)
    return formats[key].split()


def _with_threads(names: list[str], letter: str, *, counted: bool) -> list[str]:
    """Where ps puts the columns of -L and -T; `counted`: the format has NLWP too."""
    if letter == "T":
        names.insert(names.index("pid") + 1, "spid")
    elif letter == "L":
        before = next(name for name in ("sid", "ppid", "pid") if name in names)
        names.insert(names.index(before) + 1, "lwp")
        if counted:
            names.insert(names.index("%cpu" if "%cpu" in names else "c") + 1, "nlwp")
    return names


def _thread_flag(letter: str) -> str:
    return letter if letter == "H" else f"-{letter}"


def _names(text: str, when_empty: str) -> Iterator[tuple[str, str]]:
    """`pid,comm` or `pid=NUMBER`, whose title is all the rest."""
    if not text:
        raise _refused(f"ps: error: {when_empty}")
    while text:
        cut = next((at for at, letter in enumerate(text) if letter in ",="), len(text))
        name, sign, rest = _column(text[:cut]), text[cut : cut + 1], text[cut + 1 :]
        if sign == "=":
            yield rest, name
            return
        yield COLUMNS[name].title, name
        text = rest


def _column(text: str) -> str:
    """By the name that ps knows it by; a minus before it (of --sort) stays."""
    name = text.removeprefix("-")
    found = SYNONYMS.get(name, name)
    if found not in COLUMNS or found == "named-user":
        raise _refused(f'ps: error: unknown user-defined format specifier "{name}"')
    return f"-{found}" if text.startswith("-") else found


def _refused(message: str) -> WardianError:
    return WardianError(INVALID, message, operation="top")


def _cannot(option: str) -> WardianError:
    message = (
        f"top: the option {option!r} of ps is not built: Wardian reads /proc itself, and never runs ps; of ps's "
        f"options {_WORKS}"
    )
    return WardianError(NOT_IMPLEMENTED, message, operation="top", subject=option)
