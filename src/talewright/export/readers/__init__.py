"""Run as a program in a fresh process: CLIENT FOLDER STORIES.npz LOGITS.npz.

The client is a Python file beside this one, with a function `reader(folder)` that gives a function from token ids
(T,) to logits (T, V), both numpy arrays. It may import nothing of talewright: to it, there is none.
"""

if __name__ == "__main__":
    import runpy
    import sys
    from typing import Any, cast

    import numpy as np

    cast(Any, sys.modules)["talewright"] = None  # whoever imports it now gets an ImportError
    client, folder, given, taken = sys.argv[1:]
    read = runpy.run_path(client)["reader"](folder)
    with np.load(given) as stories:
        np.savez(taken, *[np.asarray(read(stories[name]), dtype=np.float32) for name in stories.files])
