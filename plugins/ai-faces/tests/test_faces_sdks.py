"""The vendors' own clients, in an environment of their own, against a served hub over a model service."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faces_models import model_service
from home import Home, serving

HERE = Path(__file__).parent
PYTHON = HERE.parents[2] / ".venv-sdks" / "bin" / "python"
CONFIG = """
[plugins.ai-openai]
enabled = true
approve = ["secrets", "outbound:127.0.0.1:{port}"]
[[plugins.ai-openai.config.instances]]
name = "up"
base-url = "http://127.0.0.1:{port}/v1"
models = [{{ id = "m" }}, {{ id = "e", kinds = ["embedding"] }}]
[plugins.voice-espeak]
enabled = true
[plugins.ai-gateway]
enabled = true
[plugins.ai-faces]
enabled = true
approve = ["site-root"]
[plugins.ai-faces.config]
heartbeat-seconds = 0.2
"""
SAID = "Hello from the model."
CUT = "Hello from"
CALLED = ["weather", {"city": "Oslo"}]

pytestmark = pytest.mark.skipif(
    not os.environ.get("LUMINAI_REQUIRE_SERVICES") and not PYTHON.exists(), reason="the SDKs are not installed: run the tests with `make test`"
)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with model_service() as there, serving(tmp_path_factory.mktemp("faces") / "home", config=CONFIG.format(port=there.port)) as home:
        yield home


def scenes(hub: Home, vendor: str) -> dict[str, Any]:
    """Return what came of each scene of a vendor's client."""
    key = hub.data("keys", "create", "--name", vendor, "--scope", "ai-faces:use")["key"]
    command = [PYTHON, HERE / f"sdk_{vendor}.py", hub.env["LUMINAI_URL"], key]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def refused(found: Any) -> tuple[str, int, str]:
    """Return class, status and the hub's code of a failure."""
    return found["raised"], found["status"], found["code"]


@pytest.fixture(scope="module")
def openai(hub: Home) -> dict[str, Any]:
    return scenes(hub, "openai")


def test_openai_client__every_scene__is_served(openai: dict[str, Any]) -> None:
    found = openai
    assert found["chat"] == [SAID, "stop", 12, "reported", ["seed"]]
    assert found["chat_length"] == "length"
    assert found["chat_stop"] == ["Hello from ", "stop"]
    assert found["stream"] == [SAID, ["stop"], 5, "finished"]
    assert found["stream_without_usage"] == [], "figures come only to those who ask; a silence of three heartbeats is no trouble"
    assert found["tools"] == ["tool_calls", *CALLED, "The tool said rain to call_oslo."]
    assert found["tools_stream"] == ["tool_calls", "weather", '{"city": "Oslo"}']
    assert (found["tool_forced"], found["response_tool_forced"]) == ("weather", "weather")
    assert refused(found["tool_forced_in_vain"]) == ("InternalServerError", 502, "ai-gateway.no-tool-called")
    assert found["structured"] == [{"n": 7}, "hub"]
    assert found["embeddings"] == [[[0.5, -0.25, 3.0], [0.5, -0.25, 5.0]], [0.5, -0.25, 3.0], 3]
    assert found["models"] == [True, True, True, "persona:ely"]
    assert found["persona"] == ["persona:ely@up/m", SAID, "ely", True, "r", "up/m"]
    assert found["persona_stream"] == ["ely", True, True]
    assert found["stream_cut"] == [CUT, "APIError", "ai-faces.cut", "ai-faces.cut"], "it does not end as if it were whole"
    assert refused(found["chat_cut"]) == ("InternalServerError", 502, "ai-gateway.cut")
    assert refused(found["wrong_key"]) == ("AuthenticationError", 401, "bad-credential")
    for scene in ("unknown_model", "unknown_model_stream"):
        assert refused(found[scene]) == ("NotFoundError", 404, "ai-gateway.unknown-model")
    assert refused(found["unknown_persona"]) == ("NotFoundError", 404, "personas.unknown")
    assert refused(found["bad_schema"]) == ("BadRequestError", 400, "ai-gateway.bad-response-schema")
    assert refused(found["bad_tool"]) == ("BadRequestError", 400, "ai-gateway.bad-tool-schema")
    assert refused(found["picture"]) == ("BadRequestError", 400, "ai-faces.text-only")
    assert refused(found["several"]) == ("BadRequestError", 400, "ai-faces.unsupported")
    assert refused(found["bad_shape"]) == ("BadRequestError", 400, "invalid-input")
    assert refused(found["oversized"]) == ("APIStatusError", 413, "ai-gateway.prompt-too-large")
    assert refused(found["oversized_body"]) == ("APIStatusError", 413, "body-too-large")


def test_openai_client__pictures_and_speech__are_given(openai: dict[str, Any]) -> None:
    *picture, notes = openai["image"]
    assert picture == ["89504e47", 256, 128]
    assert (notes["content_type"], notes["ignored"]) == ("image/png", ["quality"])
    assert "computed" in notes["synthetic"]
    assert refused(openai["images"]) == ("BadRequestError", 400, "ai-faces.unsupported")
    assert refused(openai["image_of_a_chat_model"])[2] == "ai-gateway.wrong-kind"
    if shutil.which("espeak-ng") or os.environ.get("LUMINAI_REQUIRE_SERVICES"):
        assert openai["speech"] == ["RIFF", "audio/wav", "spoken by espeak-ng", "speed"]
    else:
        assert refused(openai["speech"])[1] == 502, "the program is not on this machine"


def test_openai_client__responses__have_their_own_honest_ends(openai: dict[str, Any]) -> None:
    found = openai
    assert found["response"] == [SAID, "completed", 5]
    text, kinds = found["response_stream"]
    assert text == SAID
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert found["response_stream_helper"] == SAID
    assert found["response_length"] == ["response.incomplete", "max_output_tokens"]
    kind, status, message, text, part = found["response_cut"]
    assert (kind, status, text, part) == ("response.failed", "failed", CUT, "incomplete")
    assert "broke off" in message
    assert found["response_tools"] == ["function_call", "weather", '{"city": "Oslo"}', "The tool said rain to call_oslo."]
    assert found["response_structured"] == {"n": 7}
    assert refused(found["kept_nothing"]) == ("BadRequestError", 400, "ai-faces.unsupported")


def test_anthropic_client__every_scene__is_served(hub: Home) -> None:
    found = scenes(hub, "anthropic")
    assert found["message"] == [SAID, "end_turn", 5, ["top_k"]]
    assert found["message_length"] == "max_tokens"
    assert found["message_stop"] == [CUT, "stop_sequence", " the"]
    assert found["stream"] == [SAID, "end_turn", 5]
    assert found["stream_slow"] == "message_stop"
    assert found["tools"] == ["tool_use", *CALLED, "The tool said rain to call_oslo."]
    assert found["tools_stream"] == ["tool_use", *CALLED]
    assert found["tool_forced"] == CALLED[0]
    assert refused(found["tool_forced_in_vain"]) == ("InternalServerError", 502, "ai-gateway.no-tool-called")
    assert found["structured"] == {"n": 7}
    assert found["count"] == 100
    assert found["models"] == [2, True, True, "Ely"]
    assert found["persona"] == ["ely", True]
    assert found["stream_cut"] == [CUT, "api_error", "ai-faces.cut"]
    assert refused(found["message_cut"]) == ("InternalServerError", 502, "ai-gateway.cut")
    for scene, kind, status, type_, code in (
        ("wrong_key", "AuthenticationError", 401, "authentication_error", "bad-credential"),
        ("unknown_model", "NotFoundError", 404, "not_found_error", "ai-gateway.unknown-model"),
        ("bad_tool", "BadRequestError", 400, "invalid_request_error", "ai-gateway.bad-tool-schema"),
        ("picture", "BadRequestError", 400, "invalid_request_error", "ai-faces.text-only"),
        ("oversized", "ContentTooLargeError", 413, "request_too_large", "ai-gateway.prompt-too-large"),
    ):
        assert refused(found[scene]) == (kind, status, code)
        assert found[scene]["type"] == type_


def test_google_client__every_scene__is_served(hub: Home) -> None:
    found = scenes(hub, "gemini")
    assert found["generate"] == [SAID, "STOP", 12]
    assert found["generate_length"] == "MAX_TOKENS"
    assert found["generate_stop"] == CUT
    assert found["stream"] == [SAID, "STOP", 5]
    assert found["stream_slow"] == SAID
    assert found["tools"] == [*CALLED, 'The tool said {"sky":"rain"} to call_oslo.']
    assert found["tools_stream"] == ["weather"]
    assert found["tool_forced"] == "weather"
    assert refused(found["tool_forced_in_vain"]) == ("ServerError", 502, "ai-gateway.no-tool-called")
    assert found["structured"] == {"n": 7}
    assert found["embed"] == [[0.5, -0.25, 3.0], [0.5, -0.25, 5.0]]
    assert found["count"] == 100
    assert found["models"] == [True, True, "Ely"]
    assert found["persona"] == SAID
    assert found["stream_cut"] == [CUT, 502, "INTERNAL", "ai-faces.cut"]
    for scene, kind, status, name, code in (
        ("generate_cut", "ServerError", 502, "INTERNAL", "ai-gateway.cut"),
        ("wrong_key", "ClientError", 401, "UNAUTHENTICATED", "bad-credential"),
        ("unknown_model", "ClientError", 404, "NOT_FOUND", "ai-gateway.unknown-model"),
        ("picture", "ClientError", 400, "INVALID_ARGUMENT", "ai-faces.text-only"),
        ("oversized", "ClientError", 413, "INVALID_ARGUMENT", "ai-gateway.prompt-too-large"),
    ):
        assert refused(found[scene]) == (kind, status, code)
        assert found[scene]["name"] == name
