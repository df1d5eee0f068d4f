"""Our own model as custom code for transformers: any architecture, with the model's sources in one readable file.

The file consists of the package's own modules, so that there is no second implementation.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from importlib import import_module, resources
from pathlib import Path

from talewright.export.adapters import NativeAdapter
from talewright.export.pretrained import (
    BOUNDS,
    EXTRA,
    READER_PACKAGES,
    pipeline_command,
    write_config,
    write_tokenizer,
    write_weights,
)
from talewright.export.target import ExportSource, ExportTarget
from talewright.version import __version__

FILE = "modeling_talewright"
INTERFACE = "talewright.export.modeling"
ABOUT = f'''"""A GPT of Talewright {__version__} for transformers, in one file: settings, model, interface.

Put together from talewright/config/, model/ and export/modeling.py, under their license, Apache-2.0.
"""

from __future__ import annotations
'''


class HuggingFaceRemote(ExportTarget):
    name = "hf-remote"
    extra = EXTRA
    reader_packages = READER_PACKAGES
    bounds = BOUNDS
    reader = "hf_remote"
    library = "transformers"
    usage_template = """```python
from transformers import pipeline

generator = pipeline("text-generation", model="{place}", trust_remote_code=True)
print(generator("Once upon a time")[0]["generated_text"])
```
"""

    def commands(self, folder: Path) -> dict[str, str]:
        return {"transformers": pipeline_command(folder, ", trust_remote_code=True")}

    def write(self, source: ExportSource, folder: Path, dtype: str) -> None:
        config, adapter = source.model.config, NativeAdapter()
        classes = {"AutoConfig": "TalewrightConfig", "AutoModelForCausalLM": adapter.architecture}
        code = {"auto_map": {auto: f"{FILE}.{name}" for auto, name in classes.items()}}
        write_config(folder, adapter, config, source.tokenizer, dtype, code)
        write_weights(folder, adapter.export_tensors(config, source.model.state_dict()), dtype)
        write_tokenizer(folder, source.tokenizer, config.context_length)
        (folder / f"{FILE}.py").write_text(one_file(), encoding="utf-8", newline="\n")


def one_file() -> str:
    """The source of the settings, the model and its interface to transformers, as one module."""
    plain, froms = set[str](), defaultdict[str, set[str]](set)
    bodies, names = list[str](), set[str]()
    for module in modules_of(INTERFACE):
        source = _source(module)
        tree, lines = ast.parse(source), source.splitlines()
        if again := names & (defined := _defined(tree)):
            raise ValueError(f"two modules define {', '.join(sorted(again))}, which one file cannot")
        names |= defined
        for node in tree.body:
            if isinstance(node, ast.Import):
                plain.add(ast.unparse(node))
            elif isinstance(node, ast.ImportFrom):
                froms[str(node.module)].update(map(ast.unparse, node.names))
            if isinstance(node, ast.Import | ast.ImportFrom) or node is tree.body[0]:  # the docstring
                for number in range(node.lineno - 1, node.end_lineno or node.lineno):
                    lines[number] = ""
        bodies.append("\n".join(lines).strip("\n"))
    foreign = sorted(name for name in froms if name != "__future__" and not _is_ours(name))
    imports = sorted(plain) + [f"from {name} import {', '.join(sorted(froms[name]))}" for name in foreign]
    return "\n".join([ABOUT, *imports, "", "", "\n\n\n".join(bodies), ""])


def modules_of(module: str) -> list[str]:
    """The modules of ours that a module needs, each after those that it needs itself, and the module at the end."""
    order: dict[str, None] = {}
    for node in ast.parse(_source(module)).body:
        if isinstance(node, ast.ImportFrom) and _is_ours(str(node.module)):
            for alias in node.names:
                owner = getattr(getattr(import_module(str(node.module)), alias.name), "__module__", "")
                order |= dict.fromkeys(modules_of(owner if _is_ours(owner) else str(node.module)))
    return [*order, module]


def _source(module: str) -> str:
    return (resources.files("talewright") / f"{module.replace('.', '/').partition('/')[2]}.py").read_text("utf-8")


def _defined(tree: ast.Module) -> set[str]:
    """The names that a module defines."""
    assigned = {target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets}
    names = {target.id for target in assigned if isinstance(target, ast.Name)}
    return names | {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}


def _is_ours(module: str) -> bool:
    return module.split(".")[0] == "talewright"
