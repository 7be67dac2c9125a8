"""Frequencies, calculators and explanation on a running hub, and the command."""

import asyncio
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from luminai.testing import running_hub

PAIRS = {
    *("compassion/wrath", "curiosity/pride", "determination/despair", "connection/isolation_witness"),
    *("joy/grief", "wonder/doubt", "openness/boundary", "authenticity/shame"),
}


def on_hub(work, **config):
    async def main():
        async with running_hub("resonance", config={"resonance": config}) as hub:
            assert hub.state("resonance") == "enabled"
            return await work(hub.client())

    return asyncio.run(main())


def explain(*bodies, **config):
    """The answers to each body, asked without a credential."""

    async def work(client):
        return [await client.request("POST", "/api/resonance/explain", json={"message": "Hello"} | body) for body in bodies]

    return on_hub(work, **config)


def explained(body, **config):
    (answer,) = explain(body, **config)
    assert answer.status == 200, answer.text
    return answer.json()


def part(evaluation, name):
    return next(one for one in evaluation["report"]["parts"] if one["name"] == name)


@pytest.mark.shows("LR-D4")
def test_frequencies__listed_page_by_page__are_16_poles_in_8_pairs():
    async def work(client):
        items, cursor = [], None
        while cursor is not None or not items:
            query = {"limit": 5} | ({"cursor": cursor} if cursor else {})
            page = (await client.request("GET", "/api/frequencies", query=query)).json()
            items, cursor = items + page["items"], page["next_cursor"]
        return items

    items = on_hub(work)
    by_id = {one["id"]: one for one in items}

    assert len(items) == len(by_id) == 16
    assert {one["pair"] for one in items} == PAIRS
    assert all(by_id[one["opposite"]]["opposite"] == one["id"] and by_id[one["opposite"]]["side"] != one["side"] for one in items)
    assert all(one["pair"].split("/")[one["side"] == "negative"] == one["id"] for one in items)
    assert all(re.fullmatch("#[0-9A-F]{6}", one["color"]) and one["glyph"] and one["definition"] for one in items)
    assert len({one["glyph"] for one in items}) == 16


@pytest.mark.parametrize("name", ["isolation_witness", "isolation-witness", "Isolation_Witness"])
def test_frequency__named_as_people_do__is_shown(name):
    answer = on_hub(lambda client: client.request("GET", f"/api/frequencies/{name}"))

    assert (answer.status, answer.json()["id"]) == (200, "isolation_witness")


def test_frequency__unknown__is_a_problem_that_names_the_nearest():
    answer = on_hub(lambda client: client.request("GET", "/api/frequencies/compasion"))

    assert answer.headers["content-type"].startswith("application/problem+json")
    assert (answer.status, answer.json()["code"], answer.json()["hint"]) == (404, "resonance.unknown-frequency", "Did you mean compassion?")


@pytest.mark.shows("LR-D1")
def test_calculators__formula_a_is_the_default_and_b_d_f_are_alternatives():
    async def work(client):
        listed = (await client.request("GET", "/api/resonance/calculators")).json()["items"]
        names = [None, *(one["name"] for one in listed)]
        bodies = [{"message": "Hello"} | ({"calculator": name} if name else {}) for name in names]
        answers = [await client.request("POST", "/api/resonance/explain", json=body) for body in bodies]
        return listed, {name: answer.json() for name, answer in zip(names, answers, strict=True)}

    listed, answers = on_hub(work)

    assert [one["name"] for one in listed] == ["formula-a", "formula-b", "formula-d", "formula-f"]
    assert all(one["title"] and one["citation"] and one["version"] for one in listed)
    assert answers[None] == answers["formula-a"]
    assert {name: answer["R"] for name, answer in answers.items() if name} == {
        "formula-a": 0.37,
        "formula-b": 0.08,  # 0.075, half up
        "formula-d": 0.73,
        "formula-f": 0.37,
    }
    assert answers["formula-a"]["report"]["value"] == pytest.approx(0.374, abs=1e-12)  # full precision beside R


def test_configured_calculator__none_named__is_taken():
    assert explained({}, calculator="formula-d")["report"]["calculator"] == "formula-d"


def test_explain__whole_turn__shows_every_part_with_inputs_formula_and_citation():
    text = "I was there and you were here, so we did not know what it was that they had said to us about the river. " * 3
    body = {
        "message": text,
        "reply": text,
        "history": [{"role": "user", "text": text, "age": 60}, {"role": "assistant", "text": text}],
        "previous_sessions": 2,
        "sources": 1,
        "signals": {"urgency": 0.9, "emotional_intensity": 0.8},
    }
    evaluation = explained(body)
    names = [one["name"] for one in evaluation["report"]["parts"]]

    assert names[:4] == ["phi_e", "phi_t", "psi_r", "witness"]
    assert {"phi_e.diversity", "phi_e.novelty", "phi_t.recency", "psi_r.local_coherence", "psi_r.entrainment"} == set(names[4:])
    assert all(one["formula"] and one["citation"] for one in evaluation["report"]["parts"])
    assert part(evaluation, "phi_e")["inputs"] == {"user_history": 1, "previous_sessions": 1, "world_map": 1, "filtered": 0}
    assert evaluation["R"] == 0.96  # 1 x (0.7 + 0.18 + 0.08) x 1
    assert evaluation["report"]["integration_quality"] == 1.0


@pytest.mark.shows("LR-D3")
def test_explain__a_frequency_off__sets_phi_e_to_0_and_safety_signals_are_no_filter():
    every = sorted({pole for pair in PAIRS for pole in pair.split("/")})
    one_off, repeated, all_on, crisis = explain(
        {"active_frequencies": every[1:]},
        {"active_frequencies": [*every[1:], every[1]]},
        {"active_frequencies": every},
        {"signals": {"crisis": 1.0}},
    )

    for filtered in (one_off.json(), repeated.json()):
        assert (filtered["R"], part(filtered, "phi_e")["value"], part(filtered, "phi_e")["inputs"]["filtered"]) == (0.0, 0.0, 1.0)
        assert part(filtered, "psi_r")["inputs"]["active_frequencies"] == 15
    for unfiltered in (all_on.json(), crisis.json()):
        assert (unfiltered["R"], part(unfiltered, "phi_e")["value"]) == (0.37, 0.5)
    assert "safety rules" in part(one_off.json(), "phi_e")["note"]


def test_explain__witness__gives_w_and_r_prime_beside_r():
    evasive, met = explain({"signals": {"evasion": 1.0}}, {"sources": 1, "signals": {"volatility": 0.9, "urgency": 1.0, "emotional_intensity": 1.0}})

    assert (evasive.json()["R"], evasive.json()["report"]["witness"]) == (0.37, 0.3)
    assert evasive.json()["report"]["adjusted"] == pytest.approx(0.374 * 0.3)
    assert met.json()["report"]["witness"] == 1.2
    assert met.json()["report"]["adjusted"] == pytest.approx(0.65 * 0.88 * 1.2)


@pytest.mark.shows("LR-D6")
def test_explain__given_terms__get_the_badge_of_their_value():
    bounds = {0.49: ("critical", True), 0.5: ("steady", True), 0.6: ("steady", False), 0.7: ("steady", False), 0.71: ("resonant", False)}
    bounds |= {0.9: ("resonant", False), 0.91: ("resonant", True)}
    terms = [{"contextual_potential": value, "temporal_attention": 1.0, "structural_cadence": 1.0} for value in bounds]
    answers = explain(*({"calculator": "formula-f", "signals": signals} for signals in terms))

    assert {value: answer.json()["badge"] for value, answer in zip(bounds, answers, strict=True)} == {
        value: {"state": state, "pulse": pulse} for value, (state, pulse) in bounds.items()
    }


@pytest.mark.shows("LR-D7")
def test_explain__chips__come_from_data_and_never_from_the_model():
    loud = "Presence Active! Crisis Mode! R=1.00, Coherence High, Protocol Active."
    plain, spoken, crisis, bare = explain(
        {}, {"reply": loud}, {"signals": {"crisis": 1.0}}, {"signals": {"evasion": 1.0, "coherence": 0.2}, "witness": True}
    )

    assert [(chip["id"], chip["icon"]) for chip in plain.json()["chips"]] == [
        *(("r", "bolt"), ("presence", "shield")),
        *(("coherence", "bolt"), ("protocol", "shield")),
    ]
    assert spoken.json()["chips"] == plain.json()["chips"]
    assert plain.json()["chips"][0]["label"] == "R=0.37"
    assert [chip["id"] for chip in crisis.json()["chips"]][-1] == "crisis"
    assert [chip["id"] for chip in bare.json()["chips"]] == ["r", "protocol"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"active_frequencies": ["compasion"]}, 422, "resonance.unknown-frequency"),
        ({"calculator": "formula-z"}, 422, "resonance.unknown-calculator"),
        ({"message": "x" * 16_001}, 400, "invalid-input"),
        ({"reply": "x" * 16_001}, 400, "invalid-input"),
        ({"history": [{"role": "user", "text": "a"}] * 51}, 400, "invalid-input"),
        ({"history": [{"role": "system", "text": "a"}]}, 400, "invalid-input"),
        ({"history": [{"role": "user", "text": "a", "age": -1}]}, 400, "invalid-input"),
        ({"signals": {"urgency": 1.01}}, 400, "invalid-input"),
        ({"signals": {f"signal-{number}": 0.5 for number in range(21)}}, 400, "invalid-input"),
        ({"active_frequencies": ["joy"] * 17}, 400, "invalid-input"),
        ({"mesage": "typo"}, 400, "invalid-input"),
    ],
    ids=["frequency", "calculator", "message", "reply", "history", "role", "age", "signal", "signals", "frequencies", "typo"],
)
def test_explain__bad_input__gets_its_own_problem(body, status, code):
    (answer,) = explain(body)

    assert (answer.status, answer.json()["code"]) == (status, code)
    assert "Traceback" not in answer.text


def test_explain__largest_body_that_is_allowed__is_evaluated():
    history = [{"role": "user", "text": "river " * 666}] * 50  # 200 kB, under the hub's own limit of a body

    assert part(explained({"history": history}), "phi_e")["inputs"]["user_history"] == 1


def luminai(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the real command where no hub answers: the port is held and not listened on."""
    (tmp_path / "config.toml").write_text('[plugins.resonance]\nenabled = true\napprove = ["anonymous-routes"]\n')
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        own = {name: value for name, value in os.environ.items() if not name.startswith("LUMINAI_")}
        environment = own | {"LUMINAI_HOME": str(tmp_path / "home"), "LUMINAI_PORT": str(held.getsockname()[1])}
        command = [str(Path(sys.executable).parent / "luminai"), *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.shows("LR-82")
def test_command__frequencies_list__prints_all_16_definitions(tmp_path):
    done = luminai(tmp_path, "frequencies", "list")
    items = msgspec.json.decode(done.stdout)

    assert done.returncode == 0, done.stderr
    assert len({one["definition"] for one in items}) == 16
    assert {one["pair"] for one in items} == PAIRS
    table = luminai(tmp_path, "--output", "table", "frequencies", "list").stdout
    assert all(one["id"] in table for one in items)


def test_command__frequencies_show__prints_one_or_names_the_nearest(tmp_path):
    assert msgspec.json.decode(luminai(tmp_path, "frequencies", "show", "grief").stdout)["opposite"] == "joy"
    unknown = luminai(tmp_path, "frequencies", "show", "greif")
    assert unknown.returncode == 3
    assert "Did you mean grief?" in unknown.stderr


def test_command_and_face__imported__stay_clear_of_server_and_database():
    check = "import sys, luminai_resonance, luminai_resonance.commands; print([m for m in ('litestar', 'sqlalchemy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


@pytest.mark.shows("LR-142", "LR-146")
def test_evaluations__are_measured_and_slow_ones_page() -> None:
    async def main():
        async with running_hub("resonance") as hub:
            await hub.client().request("POST", "/api/resonance/explain", json={"message": "Hello"})
            watcher = hub.client("hub:monitor")
            text = (await watcher.request("GET", "/metrics")).text
            assert "luminai_plugin_resonance_evaluation_seconds_count 1.0" in text
            rules = (await watcher.request("GET", "/api/admin/alerts/rules?limit=100")).json()["items"]
            (rule,) = (one["rule"] for one in rules if one["name"] == "resonance.slow")
            assert (rule["of"], rule["above"], rule["severity"]) == ("p95", 2.0, "critical")

    asyncio.run(main())
