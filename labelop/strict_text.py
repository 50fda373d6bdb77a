"""Foreign JSON, YAML and XML, read without the kindness that hides mistakes and attacks.

Python's readers take NaN, doubled keys, aliases and entities that grow without bound, and any size. Knows no schema:
what the values mean is checked by whoever asked for them. Raises ValueError, which callers turn into their own error.
"""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import Any, NoReturn
from xml.etree.ElementTree import Element, ParseError

import yaml
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

MAX_BYTES = 8 * 1024 * 1024
"""Largest document that is read whole, which takes up to 30 times its size; see `streamed_text` for larger ones."""

_OF_SHELL = Path("/dev/fd")
"""What `<(...)` on a command line is: it has its writer."""

MAX_YAML_BYTES = 1024 * 1024
"""Largest configuration file."""


def read_regular(path: Path, max_bytes: int = MAX_YAML_BYTES) -> bytes:
    """Read a small file whole; links are followed, and no pipe is opened but one that the shell has opened already.

    Raises:
        OSError: It cannot be read.
        ValueError: It is a pipe or a device, which may never answer or end, or it is too large.
    """
    is_given = path.parent == _OF_SHELL
    # to open a pipe waits for whoever writes to it, unless this is said
    quick = 0 if is_given else os.O_NONBLOCK
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | quick)) as file:
        if not (is_given or stat.S_ISREG(os.fstat(file.fileno()).st_mode)):
            raise ValueError("is no regular file, which is all that is read")
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ValueError(f"has more than {max_bytes} bytes, which is the most allowed")
    return data


def read_json(data: bytes, max_bytes: int = MAX_BYTES) -> Any:
    """Read one JSON document.

    Raises:
        ValueError: Too large, too deep, a doubled key, not UTF-8, NaN or infinity, or no JSON; says what and where.
    """
    check_size(len(data), max_bytes)
    try:
        return json.loads(data.decode("utf-8-sig"), parse_constant=refuse_constant, object_pairs_hook=no_key_twice)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"is no JSON at line {error.lineno}, column {error.colno}: {error.msg}") from None


def no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dict; raises ValueError where a key is doubled."""
    found = dict(pairs)
    if len(found) < len(pairs):
        # whoever takes the last one loses what the others say
        twice = next(name for position, (name, _) in enumerate(pairs) if name in dict(pairs[:position]))
        raise ValueError(f"has the key {twice[:80]!a} twice in one object")
    return found


def read_yaml(data: bytes, max_bytes: int = MAX_YAML_BYTES) -> Any:
    """Read one YAML document of plain values.

    Raises:
        ValueError: Too large, too deep, a doubled key, an alias, a merge key, a tag for an object, a number that is not
            plainly decimal, or no YAML; says what and where.
    """
    check_size(len(data), max_bytes)
    try:
        return yaml.load(data.decode("utf-8-sig"), Loader=_StrictLoader)  # noqa: S506 - derived from the safe loader
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 at byte {error.start}") from None
    except yaml.MarkedYAMLError as error:
        where = f" at line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ValueError(f"is no plain YAML{where}: {error.problem}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"is no plain YAML: {type(error).__name__}") from None


def read_xml(data: bytes, root_tag: str, max_bytes: int = MAX_BYTES) -> Element:
    """Read one XML document without a document type: no entity is known, no address in it is opened.

    Raises:
        ValueError: Too large, with a document type, another root, or no XML; says what.
    """
    check_size(len(data), max_bytes)
    try:
        root: Element = fromstring(data, forbid_dtd=True)
    except (ParseError, DefusedXmlException, RecursionError, ValueError, LookupError) as error:
        raise ValueError(f"is no plain XML: {type(error).__name__}") from None
    if root.tag != root_tag:
        raise ValueError(f"holds <{root.tag:.40}>, expected <{root_tag}>")
    return root


_PLAIN_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]*)?(\.[0-9]*(e[-+][0-9]+)?)?|[-+]?\.(inf|nan)", re.IGNORECASE)
_MERGE = "tag:yaml.org,2002:merge"
_NUMBERS = {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}


class _StrictLoader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.get_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases are not allowed", mark)
        return super().compose_node(parent, index)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if node.tag in _NUMBERS and not _PLAIN_NUMBER.fullmatch(str(node.value)):
            # to this reader 58:20 is 3500 and 010 is 8, to others a text and 10
            problem = (
                f"{node.value!r:.120} may be read as another number; write a plain decimal number, or quote the text"
            )
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        try:
            return super().construct_object(node, deep)
        except (ValueError, ArithmeticError, LookupError, AttributeError) as error:
            # a 30th of February, a number without end, a tag that does not fit: the reader does not say where
            problem = f"{node.value!r:.120} is no value of its type ({error})"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.tag == _MERGE:
                # its keys would be hidden by those beside it, or hide them, without a word
                raise yaml.constructor.ConstructorError(None, None, "merge keys are not allowed", key.start_mark)
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is written twice", key.start_mark
                )
            seen.add(getattr(key, "value", None) if isinstance(key, yaml.ScalarNode) else id(key))
        return super().construct_mapping(node, deep)


def is_line(text: str) -> bool:
    """Say whether a text is one line that every table and terminal can show, without blanks around it."""
    return bool(text) and text == text.strip() and text.isprintable()


def require_words(text: str, most_characters: int) -> None:
    """Hold a person's words to one line; see `is_line`.

    Raises:
        ValueError: They are empty, too long, have blanks around, or hold what cannot be printed; says what is allowed.
    """
    if len(text) > most_characters or not is_line(text):
        raise ValueError(f"allowed are 1 to {most_characters} printable characters without blanks around them")


def check_size(size_bytes: int, max_bytes: int) -> None:
    """Raise ValueError for a document that is too large."""
    if size_bytes > max_bytes:
        raise ValueError(f"has {size_bytes} bytes, allowed are {max_bytes}")


def refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and infinity, which Python's reader takes."""
    raise ValueError(f"holds {name}, which is no JSON number")
