"""Our own model as custom code for transformers: any architecture, with the model's sources in one readable file.

The file is put together from the package's own modules, so that there is no second implementation.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from talewright.config import ModelConfig
from talewright.export.adapters import NativeAdapter
from talewright.export.pretrained import BOUNDS, EXTRA, PACKAGES, write_config, write_tokenizer, write_weights
from talewright.export.target import ExportSource, ExportTarget
from talewright.version import __version__

FILE = "modeling_talewright"
PARTS = ("norm", "positions", "dropout", "mlp", "kv_cache", "attention", "loss", "gpt")
"""The model's modules, each after those that it needs."""
ABOUT = f'''"""A GPT of Talewright {__version__} for transformers, in one file: settings, model, interface.

Put together from talewright/config/, model/ and export/modeling.py, and under their licence, Apache-2.0.
"""
'''


class HuggingFaceRemote(ExportTarget):
    name = "hf-remote"
    extra = EXTRA
    packages = PACKAGES
    bounds = BOUNDS
    reader = "hf_remote"

    def unsupported_reason(self, config: ModelConfig) -> str | None:
        return None

    def write(self, source: ExportSource, folder: Path, dtype: str) -> None:
        config, adapter = source.model.config, NativeAdapter()
        classes = {"AutoConfig": "TalewrightConfig", "AutoModelForCausalLM": adapter.architecture}
        settings = {
            "architectures": [adapter.architecture],
            "model_type": adapter.model_type,
            "auto_map": {auto: f"{FILE}.{name}" for auto, name in classes.items()},
            **adapter.to_json(config),
        }
        write_config(folder, settings, config, source.tokenizer, dtype)
        write_weights(folder, adapter.export_tensors(config, source.model.state_dict()), dtype)
        write_tokenizer(folder, source.tokenizer, config.context_length)
        (folder / f"{FILE}.py").write_text(one_file(), encoding="utf-8")

    def usage(self, place: str) -> str:
        return USAGE.format(place=place)


def one_file() -> str:
    """The source of the settings, the model and its interface to transformers, as one module."""
    sources = [_class("config/schema.py", "ModelConfig"), *(_read(f"model/{name}.py") for name in PARTS)]
    sources.append(_read("export/modeling.py"))
    froms: dict[str, set[str]] = {}
    plain, bodies, names = set(), [], set()
    for source in sources:
        tree = ast.parse(source)
        again = names & (mine := set(_top_names(tree)))
        if again:
            raise ValueError(f"two modules define {', '.join(sorted(again))}, which one file cannot")
        names |= mine
        for line in _foreign_imports(tree):
            if isinstance(line, ast.Import):
                plain.add(ast.unparse(line))
            else:
                froms.setdefault(str(line.module), set()).update(map(ast.unparse, line.names))
        bodies.append(_body(source, tree))
    imports = sorted(plain) + [f"from {module} import {', '.join(sorted(froms[module]))}" for module in sorted(froms)]
    return "\n".join([ABOUT, "from __future__ import annotations\n", *imports, "", "", "\n\n\n".join(bodies), ""])


def _read(path: str) -> str:
    return (resources.files("talewright") / path).read_text(encoding="utf-8")


def _class(path: str, name: str) -> str:
    """The source of a class, and the module's imports that it uses."""
    source = _read(path)
    tree = ast.parse(source)
    found = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    used = {node.id for node in ast.walk(found) if isinstance(node, ast.Name)}
    lines = source.splitlines()
    start = min(node.lineno for node in (found, *found.decorator_list))
    return "\n".join([*map(ast.unparse, _trimmed(tree, used)), *lines[start - 1 : found.end_lineno]])


def _trimmed(tree: ast.Module, used: set[str]) -> Iterator[ast.stmt]:
    """The imports of a module, of names that are used alone."""
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias for alias in node.names if (alias.asname or alias.name) in used]
            if names and isinstance(node, ast.ImportFrom):
                yield ast.ImportFrom(node.module, names, node.level)
            elif names:
                yield ast.Import(names)


def _foreign_imports(tree: ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    for node in tree.body:
        if isinstance(node, ast.Import) or (
            isinstance(node, ast.ImportFrom) and not _is_ours(node) and node.module != "__future__"
        ):
            yield node


def _body(source: str, tree: ast.Module) -> str:
    """A module without its docstring and imports; a name that it had given to something of ours is given again."""
    lines = source.splitlines()
    renamed = []
    for number, node in enumerate(tree.body):
        docstring = number == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if docstring or isinstance(node, ast.Import | ast.ImportFrom):
            for line in range(node.lineno - 1, node.end_lineno or node.lineno):
                lines[line] = ""
        if isinstance(node, ast.ImportFrom) and _is_ours(node):
            renamed += [f"{alias.asname} = {alias.name}" for alias in node.names if alias.asname]
    body = "\n".join(lines).strip("\n")
    return "\n".join([*renamed, "\n", body]) if renamed else body


def _top_names(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def _is_ours(node: ast.ImportFrom) -> bool:
    return (node.module or "").split(".")[0] == "talewright"


USAGE = """```python
from transformers import pipeline

tell = pipeline("text-generation", model="{place}", trust_remote_code=True)
print(tell("Once upon a time", max_new_tokens=200)[0]["generated_text"])
```
"""
