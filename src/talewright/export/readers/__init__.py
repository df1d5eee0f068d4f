"""Run as a program in a fresh process: READER PATH TOKENS.npz LOGITS.npz.

READER is a file of this folder. Its function `reader(path)` returns a function from token ids (T,) to logits (T, V),
both numpy arrays. It may not import talewright, and cannot.
"""

if __name__ == "__main__":
    import runpy
    import sys
    from typing import Any, cast

    import numpy as np

    cast(Any, sys.modules)["talewright"] = None  # importing it now raises ImportError
    reader, path, tokens, logits = sys.argv[1:]
    read = runpy.run_path(reader)["reader"](path)
    with np.load(tokens) as stories:
        np.savez(logits, *[np.asarray(read(stories[name]), dtype=np.float32) for name in stories.files])
