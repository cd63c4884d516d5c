"""Python's collector of cyclic garbage, held back while very many objects are made that all stay."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collector() -> Iterator[None]:
    """Make objects without looking for cycles among them again and again, which takes long where none can be found.

    What is no cycle is freed as ever. Left as it was found, off too.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
