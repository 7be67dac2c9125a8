"""OpenAI's own client against a hub: prints what came of each scene as JSON. Runs in an environment of its own."""

import base64
import json
import sys

import openai

URL, KEY = sys.argv[1:]
CLIENT = openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)
TOOL = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
MODEL = "up/m"


def said(text, **more):
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}


def chat():
    found = CLIENT.chat.completions.create(**said("hello", temperature=0.5, seed=3))
    choice = found.choices[0]
    return [choice.message.content, choice.finish_reason, found.usage.total_tokens, found.luminai["usage_origin"], found.luminai["ignored"]]


def chat_length():
    return CLIENT.chat.completions.create(**said("long")).choices[0].finish_reason


def chat_stop():
    found = CLIENT.chat.completions.create(**said("hello", stop=["the"]))
    return [found.choices[0].message.content, found.choices[0].finish_reason]


def stream():
    chunks = list(CLIENT.chat.completions.create(**said("hello", stream=True, stream_options={"include_usage": True})))
    text = "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)
    reasons = [one.choices[0].finish_reason for one in chunks if one.choices and one.choices[0].finish_reason]
    return [text, reasons, chunks[-1].usage.completion_tokens, chunks[-2].luminai["end_state"]]


def stream_without_usage():
    return [one.usage for one in CLIENT.chat.completions.create(**said("slow", stream=True)) if one.usage]


def stream_cut():
    text = ""
    try:
        for one in CLIENT.chat.completions.create(**said("break", stream=True)):
            text += one.choices[0].delta.content or ""
    except openai.APIError as error:
        return [text, type(error).__name__, error.code, error.body["code"]]
    return [text, "ended as if it were whole"]


def chat_cut():
    CLIENT.chat.completions.create(**said("break"))


def image():
    found = CLIENT.images.generate(model="offline/pattern", prompt="a cat", size="256x128", quality="hd")
    content = base64.b64decode(found.data[0].b64_json)
    return [content[:4].hex(), int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big"), found.luminai]


def images():
    CLIENT.images.generate(model="offline/pattern", prompt="a cat", n=2)


def image_of_a_chat_model():
    CLIENT.images.generate(model=MODEL, prompt="a cat")


def speech():
    found = CLIENT.audio.speech.create(model="espeak/espeak", voice="default", input="Hello.", speed=2)
    headers = found.response.headers
    return [found.read()[:4].decode(), headers["content-type"], headers["x-luminai-synthetic"], headers["x-luminai-ignored"]]


def tools():
    offered = [{"type": "function", "function": {"name": "weather", "description": "Tells it.", "parameters": TOOL}}]
    messages = [{"role": "user", "content": "weather"}]
    first = CLIENT.chat.completions.create(model=MODEL, messages=messages, tools=offered)
    call = first.choices[0].message.tool_calls[0]
    messages += [first.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "rain"}]
    second = CLIENT.chat.completions.create(model=MODEL, messages=messages, tools=offered)
    return [first.choices[0].finish_reason, call.function.name, json.loads(call.function.arguments), second.choices[0].message.content]


def tools_stream():
    offered = [{"type": "function", "function": {"name": "weather", "parameters": TOOL}}]
    with CLIENT.chat.completions.stream(model=MODEL, messages=[{"role": "user", "content": "weather"}], tools=offered) as events:
        for _ in events:
            pass
        found = events.get_final_completion().choices[0]
    return [found.finish_reason, found.message.tool_calls[0].function.name, found.message.tool_calls[0].function.arguments]


def tool_forced():
    offered = [{"type": "function", "function": {"name": name, "parameters": TOOL}} for name in ("clock", "weather")]
    choice = {"type": "function", "function": {"name": "weather"}}
    return CLIENT.chat.completions.create(**said("hello", tools=offered, tool_choice=choice)).choices[0].message.tool_calls[0].function.name


def tool_forced_in_vain():
    CLIENT.chat.completions.create(**said("refuse", tools=[{"type": "function", "function": {"name": "weather"}}], tool_choice="required"))


def response_tool_forced():
    offered = [{"type": "function", "name": name, "parameters": TOOL} for name in ("clock", "weather")]
    return CLIENT.responses.create(model=MODEL, input="hello", tools=offered, tool_choice={"type": "function", "name": "weather"}).output[0].name


def structured():
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}}
    found = CLIENT.chat.completions.create(**said("schema", response_format=wanted))
    return [json.loads(found.choices[0].message.content), found.luminai["enforced"]]


def response():
    found = CLIENT.responses.create(model=MODEL, input="hello", instructions="Be kind.")
    return [found.output_text, found.status, found.usage.output_tokens]


def response_stream():
    kinds, text = [], ""
    for one in CLIENT.responses.create(model=MODEL, input="hello", stream=True):
        kinds += [one.type] if one.type not in kinds else []
        text += one.delta if one.type == "response.output_text.delta" else ""
    return [text, kinds]


def response_stream_helper():
    with CLIENT.responses.stream(model=MODEL, input="hello") as events:
        for _ in events:
            pass
        return events.get_final_response().output_text


def response_cut():
    last = list(CLIENT.responses.create(model=MODEL, input="break", stream=True))[-1]
    return [last.type, last.response.status, last.response.error.message, last.response.output[0].content[0].text, last.response.output[0].status]


def response_length():
    last = list(CLIENT.responses.create(model=MODEL, input="long", stream=True))[-1]
    return [last.type, last.response.incomplete_details.reason]


def response_tools():
    offered = [{"type": "function", "name": "weather", "parameters": TOOL, "strict": False}]
    first = CLIENT.responses.create(model=MODEL, input="weather", tools=offered)
    call = first.output[0]
    given = [{"role": "user", "content": "weather"}, call, {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}]
    second = CLIENT.responses.create(model=MODEL, input=given, tools=offered)
    return [call.type, call.name, call.arguments, second.output_text]


def response_structured():
    wanted = {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}}
    return json.loads(CLIENT.responses.create(model=MODEL, input="schema", text=wanted).output_text)


def embeddings():
    found = CLIENT.embeddings.create(model="up/e", input=["one", "three"])
    floats = CLIENT.embeddings.create(model="up/e", input="one", encoding_format="float")
    return [[one.embedding for one in found.data], floats.data[0].embedding, found.usage.prompt_tokens]


def models():
    names = [one.id for one in CLIENT.models.list()]
    return [names[0].startswith("persona:"), "up/m" in names, "up/e" in names, CLIENT.models.retrieve("persona:ely").id]


def persona():
    found = CLIENT.chat.completions.create(model="persona:ely@up/m", messages=[{"role": "user", "content": "hello"}])
    notes = found.luminai
    return [
        found.model,
        found.choices[0].message.content,
        notes["persona"]["id"],
        0 <= notes["R"] <= 1,
        notes["witness_chips"][0]["id"],
        notes["model"],
    ]


def persona_stream():
    chunks = list(CLIENT.chat.completions.create(model="persona:ely", messages=[{"role": "user", "content": "hello"}], stream=True))
    return [chunks[-1].luminai["persona"]["id"], 0 <= chunks[-1].luminai["R"] <= 1, len(chunks[-1].luminai["witness_chips"]) > 0]


def wrong_key():
    openai.OpenAI(base_url=f"{URL}/v1", api_key="lum_wrong", max_retries=0).models.list()


def unknown_model():
    CLIENT.chat.completions.create(**said("hello") | {"model": "up/nothing"})


def unknown_persona():
    CLIENT.chat.completions.create(**said("hello") | {"model": "persona:nobody"})


def unknown_model_stream():
    CLIENT.chat.completions.create(**said("hello", stream=True) | {"model": "nothing"})


def bad_schema():
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "a lot"}}}
    CLIENT.chat.completions.create(**said("schema", response_format=wanted))


def bad_tool():
    CLIENT.chat.completions.create(**said("weather", tools=[{"type": "function", "function": {"name": "w", "parameters": {"type": 7}}}]))


def picture():
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    CLIENT.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": [part]}])


def several():
    CLIENT.chat.completions.create(**said("hello", n=2))


def bad_shape():
    CLIENT.chat.completions.create(**said("hello", temperature=9))


def oversized():
    CLIENT.chat.completions.create(**said("x" * 500_000))


def oversized_body():
    CLIENT.chat.completions.create(**said("x" * 5_000_000))


def kept_nothing():
    CLIENT.responses.create(model=MODEL, input="hello", previous_response_id="resp_1")


def outcome(scene):
    try:
        return scene()
    except openai.APIStatusError as error:
        return {
            "raised": type(error).__name__,
            "status": error.status_code,
            "code": error.code,
            "retry": error.response.headers.get("x-should-retry"),
        }
    except openai.APIError as error:
        return {"raised": type(error).__name__, "code": error.code}


OTHERS = ("said", "outcome")
SCENES = [one for name, one in list(globals().items()) if getattr(one, "__module__", "") == "__main__" and name not in OTHERS]
sys.stdout.write(json.dumps({one.__name__: outcome(one) for one in SCENES}))
