"""R, the resonance value of a turn, explained by its parts."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from luminai_resonance.evaluation import Badge, Chip, Evaluation, Resonance, round_half_up
    from luminai_resonance.frequencies import Frequency, all_frequencies, frequency_named

_FREQUENCIES = ("Frequency", "all_frequencies", "frequency_named")
__all__ = ["Badge", "Chip", "Evaluation", "Frequency", "Resonance", "all_frequencies", "frequency_named", "round_half_up"]


def __getattr__(name: str) -> Any:  # lazy: the command's module must not pay for the rest
    if name not in __all__:
        raise AttributeError(name)
    return getattr(import_module(f"luminai_resonance.{'frequencies' if name in _FREQUENCIES else 'evaluation'}"), name)
