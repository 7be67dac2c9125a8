"""Anthropic's own client against a hub: prints what came of each scene as JSON. Runs in an environment of its own."""

import json
import sys

import anthropic

URL, KEY = sys.argv[1:]
CLIENT = anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0)
TOOL = {"name": "weather", "description": "Tells it.", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
MODEL = "up/m"


def said(text, **more):
    return {"model": MODEL, "max_tokens": 100, "messages": [{"role": "user", "content": text}], **more}


def message():
    found = CLIENT.messages.create(**said("hello", system="Be kind.", extra_body={"top_k": 3}))
    return [found.content[0].text, found.stop_reason, found.usage.output_tokens, found.luminai["ignored"]]


def message_length():
    return CLIENT.messages.create(**said("long")).stop_reason


def message_stop():
    found = CLIENT.messages.create(**said("hello", stop_sequences=[" the"]))
    return [found.content[0].text, found.stop_reason, found.stop_sequence]


def stream():
    with CLIENT.messages.stream(**said("hello")) as events:
        text = "".join(events.text_stream)
        found = events.get_final_message()
    return [text, found.stop_reason, found.usage.output_tokens]


def stream_slow():
    return [one.type for one in CLIENT.messages.create(**said("slow", stream=True))][-1]


def stream_cut():
    text = ""
    try:
        for one in CLIENT.messages.create(**said("break", stream=True)):
            text += one.delta.text if one.type == "content_block_delta" else ""
    except anthropic.APIStatusError as error:
        return [text, error.body["error"]["type"], error.body["code"]]
    return [text, "ended as if it were whole"]


def message_cut():
    CLIENT.messages.create(**said("break"))


def tools():
    messages = [{"role": "user", "content": "weather"}]
    first = CLIENT.messages.create(model=MODEL, max_tokens=100, messages=messages, tools=[TOOL])
    use = first.content[-1]
    result = {"type": "tool_result", "tool_use_id": use.id, "content": [{"type": "text", "text": "rain"}]}
    messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    second = CLIENT.messages.create(model=MODEL, max_tokens=100, messages=messages, tools=[TOOL])
    return [first.stop_reason, use.name, use.input, second.content[0].text]


def tools_stream():
    with CLIENT.messages.stream(**said("weather", tools=[TOOL])) as events:
        found = events.get_final_message()
    return [found.stop_reason, found.content[0].name, found.content[0].input]


def tool_forced():
    offered = [TOOL | {"name": "clock"}, TOOL]
    return CLIENT.messages.create(**said("hello", tools=offered, tool_choice={"type": "tool", "name": TOOL["name"]})).content[0].name


def tool_forced_in_vain():
    CLIENT.messages.create(**said("refuse", tools=[TOOL], tool_choice={"type": "any"}))


def structured():
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
    found = CLIENT.messages.create(**said("schema", output_config={"format": {"type": "json_schema", "schema": schema}}))
    return json.loads(found.content[0].text)


def count():
    found = CLIENT.messages.count_tokens(model=MODEL, messages=[{"role": "user", "content": "x" * 400}])
    return found.input_tokens


def models():
    page = CLIENT.models.list(limit=2)
    names = [one.id for one in CLIENT.models.list(limit=2)]
    return [len(page.data), page.has_more, "up/m" in names, CLIENT.models.retrieve("persona:ely").display_name]


def persona():
    found = CLIENT.messages.create(**said("hello") | {"model": "persona:ely@up/m"})
    return [found.luminai["persona"]["id"], 0 <= found.luminai["R"] <= 1]


def wrong_key():
    anthropic.Anthropic(base_url=URL, api_key="lum_wrong", max_retries=0).messages.create(**said("hello"))


def unknown_model():
    CLIENT.messages.create(**said("hello") | {"model": "nothing"})


def bad_tool():
    CLIENT.messages.create(**said("weather", tools=[{"name": "w", "input_schema": {"type": 7}}]))


def picture():
    source = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    CLIENT.messages.create(model=MODEL, max_tokens=9, messages=[{"role": "user", "content": [{"type": "image", "source": source}]}])


def oversized():
    CLIENT.messages.create(**said("x" * 500_000))


def outcome(scene):
    try:
        return scene()
    except anthropic.APIStatusError as error:
        return {
            "raised": type(error).__name__,
            "status": error.status_code,
            "type": error.body["error"]["type"],
            "code": error.body["code"],
            "retry": error.response.headers.get("x-should-retry"),
        }


OTHERS = ("said", "outcome")
SCENES = [one for name, one in list(globals().items()) if getattr(one, "__module__", "") == "__main__" and name not in OTHERS]
sys.stdout.write(json.dumps({one.__name__: outcome(one) for one in SCENES}))
