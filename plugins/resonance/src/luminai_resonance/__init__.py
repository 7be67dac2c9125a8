"""R, the resonance value of a turn, explained by its parts."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from luminai_resonance.evaluation import Badge, Chip, Evaluation, Resonance, round_half_up

__all__ = ["Badge", "Chip", "Evaluation", "Resonance", "round_half_up"]


def __getattr__(name: str) -> Any:  # lazy: the command's module must not pay for the rest
    if name not in __all__:
        raise AttributeError(name)
    from luminai_resonance import evaluation

    return getattr(evaluation, name)
