"""The registered formulas, one module each."""

from luminai_resonance.formulas.a import FormulaA
from luminai_resonance.formulas.b import FormulaB
from luminai_resonance.formulas.d import FormulaD
from luminai_resonance.formulas.f import FormulaF

FORMULAS = (FormulaA(), FormulaB(), FormulaD(), FormulaF())
"""In order of preference; the first is the default."""
