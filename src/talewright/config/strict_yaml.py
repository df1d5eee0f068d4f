"""YAML of plain values, read strictly and written so that it survives."""

from pathlib import Path
from typing import Any

import yaml

from talewright.errors import UserError


class YamlError(ValueError):
    """Why a text is not YAML, in one line."""


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice: the first of two `model:` sections would be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"{key.value} is given twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Keeps unusual line breaks (U+0085, U+2028) in strings: unquoted, they would turn into spaces."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=None if data.isprintable() else '"')


_Dumper.add_representer(str, _Dumper.represent_str)


def parse_yaml(text: str) -> Any:
    """The plain values of a YAML text. Raises YamlError."""
    try:
        return _Loader(text).get_single_data()
    except yaml.YAMLError as error:
        raise YamlError(" ".join(str(error).split())) from None
    except Exception as error:  # PyYAML itself fails on 2001-99-99, 0x_, or a thousand brackets
        raise YamlError(f"{type(error).__name__}: {error}") from None


def read_yaml(path: Path, what: str = "file") -> Any:
    """The plain values of a YAML file. Raises UserError, which calls the file `what`, if it cannot be read."""
    try:
        return parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"no {what} {path} here") from None
    except YamlError as error:
        raise UserError(f"{path} is not YAML: {error}") from None
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or an impossible file name
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise UserError(f"{path!s:.80} cannot be read: {reason}") from None


def write_yaml(values: Any) -> str:
    """Plain values as YAML text, in their own order."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
