"""What every engine owes: a lane of a cohort has the numbers of the training alone, whoever sits beside it.

A test module of an engine is three lines::

    class TestMyEngine(EngineContract):
        @pytest.fixture
        def engine_of(self) -> EngineBuilder:
            return MyEngine
"""

from tests.tuner.training.lanes.coming_and_going import ComingAndGoing
from tests.tuner.training.lanes.same_numbers import SameNumbers
from tests.tuner.training.lanes.untouched_neighbors import UntouchedNeighbors


class EngineContract(SameNumbers, UntouchedNeighbors, ComingAndGoing):
    """All of it, held by each engine that is a subclass with its own ``engine_of``."""
