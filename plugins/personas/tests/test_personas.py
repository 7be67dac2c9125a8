"""The canonical five as texts, and the directory over personas of any plugin."""

import re

import pytest

from luminai import Persona, Unprocessable
from luminai_personas import PersonaDirectory
from luminai_personas.plugin import Plugin

FIVE = {one.id: one for one in Plugin().personas()}
POLES = {
    *("compassion", "wrath", "curiosity", "pride", "determination", "despair", "connection", "isolation_witness"),
    *("joy", "grief", "wonder", "doubt", "openness", "boundary", "authenticity", "shame"),
}


def persona(name: str, **more) -> Persona:
    return Persona(id=name, version=1, title=name.title(), role="A test.", instructions="Answer.", **more)


def directory(*personas: Persona, default: str = "ely", disabled: frozenset[str] = frozenset()) -> PersonaDirectory:
    known = {one.id: one for one in personas} if personas else FIVE
    return PersonaDirectory(lambda: known, default=default, disabled=disabled)


def test_canon__ids_and_alias__are_the_five():
    assert set(FIVE) == {"airth", "ely", "adelphisa", "luminai", "arcadia"}
    assert FIVE["adelphisa"].aliases == ("adelphia",)


def test_canon__ely__is_the_compassionate_one_with_infrastructure_second():
    assert "compassion" in FIVE["ely"].role.lower()
    assert FIVE["ely"].frequencies[0] == "compassion"
    assert "second skill" in FIVE["ely"].instructions
    assert "infrastructure" in FIVE["ely"].tags


@pytest.mark.parametrize("name", FIVE)
def test_canon__each__is_complete(name):
    one = FIVE[name]

    assert one.version >= 1
    assert one.public
    assert one.title and one.role and one.emoji and one.instructions.strip()  # noqa: PT018 - one thing: no text is missing
    assert one.voice.answer and one.voice.refusal  # noqa: PT018 - same
    assert one.voice.answer != one.voice.refusal
    assert len(one.values) >= 3
    assert set(one.frequencies) <= POLES
    assert len(set(one.frequencies)) == len(one.frequencies) >= 3
    assert all(re.fullmatch("#[0-9A-Fa-f]{6}", color) for color in one.colors)
    assert one.colors


def test_canon__weights__share_the_whole_among_the_five():
    assert sum(one.weight for one in FIVE.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("name", FIVE)
def test_canon__words__forbid_claims_of_consciousness_and_make_none_of_skill(name):
    one = FIVE[name]
    said = " ".join([one.role, one.voice.answer, one.voice.refusal, *one.values, re.sub(r"[^.]*\b[Nn]ever\b[^.]*\.", "", one.instructions)])

    assert re.search(r"never claim to feel or to be conscious", one.instructions, re.IGNORECASE)
    assert not re.search(r"\b(conscious|sentient|alive|i feel|therapist|clinician|doctor|diagnos\w+|heal|cure|treat)\b", said, re.IGNORECASE)


def test_canon__danger__is_met_with_real_help():
    assert "danger" in FIVE["ely"].instructions
    assert "real help" in FIVE["ely"].instructions
    assert not any(re.search(r"(do not|don't|never)[^.]*\b(professional|help line|hotline|doctor)", one.instructions) for one in FIVE.values())


@pytest.mark.parametrize(("name", "found"), [("ely", "ely"), ("Adelphia", "adelphisa"), ("  ADELPHISA ", "adelphisa"), ("LuminAI", "luminai")])
def test_resolve__id_or_alias_in_any_case__is_found(name, found):
    assert directory().resolve(name).id == found


def test_resolve__alias_of_another_plugin_in_capitals__is_found():
    assert directory(persona("guide", aliases=("Leader",))).resolve("leader").id == "guide"


def test_resolve__alias_equals_the_id_of_a_later_persona__the_id_wins():
    impostor = persona("impostor", aliases=("ely", "first"))
    found = directory(impostor, persona("ely"), persona("second", aliases=("first",)))

    assert found.resolve("ely").id == "ely"
    assert found.resolve("first").id == "impostor"


@pytest.mark.parametrize(("name", "hint"), [("elly", "Did you mean ely?"), ("adelfia", "Did you mean adelphia?"), ("zzzz", "Known: adelphia, ")])
def test_resolve__unknown__names_the_nearest(name, hint):
    with pytest.raises(Unprocessable) as refused:
        directory().resolve(name)

    assert refused.value.code == "personas.unknown"
    assert refused.value.hint.startswith(hint)


def test_resolve__disabled_or_hidden__is_unknown_under_every_name():
    found = directory(persona("ely"), persona("kaznak", public=False), persona("adelphisa", aliases=("adelphia",)), disabled=frozenset({"adelphisa"}))

    assert [one.id for one in found.all()] == ["ely"]
    for name in ("kaznak", "adelphisa", "adelphia"):
        with pytest.raises(Unprocessable):
            found.resolve(name)


@pytest.mark.parametrize(("default", "disabled", "chosen"), [("airth", set(), "airth"), ("ely", {"ely"}, "airth"), ("nobody", set(), "ely")])
def test_default__configured_or_the_first_that_is_offered(default, disabled, chosen):
    assert directory(default=default, disabled=frozenset(disabled)).default.id == chosen


def test_default__no_persona_at_all__is_refused_with_what_to_do():
    with pytest.raises(Unprocessable) as refused:
        _ = PersonaDirectory(dict, default="ely").default

    assert (refused.value.code, refused.value.hint) == ("personas.none", "Enable a plugin that offers one.")


def test_directory__persona_added_after_it_was_made__is_found():
    known: dict[str, Persona] = {}
    found = PersonaDirectory(lambda: known, default="ely")
    known["late"] = persona("late")

    assert found.resolve("late") is found.default
