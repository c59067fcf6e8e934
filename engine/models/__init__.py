"""Models of spins and electrons."""

from engine.models.heisenberg import HeisenbergModel
from engine.models.model import Model, SumModel
from engine.models.sd import ExponentialHopping, SDModel
from engine.models.zeeman import Zeeman

__all__ = ["ExponentialHopping", "HeisenbergModel", "Model", "SDModel", "SumModel", "Zeeman"]
