"""Google's own client against a hub: prints what came of each scene as JSON. Runs in an environment of its own."""

import json
import sys

from google import genai
from google.genai import errors, types

URL, KEY = sys.argv[1:]
CLIENT = genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=URL))
MODEL = "up/m"
WEATHER = types.FunctionDeclaration(
    name="weather", description="Tells it.", parameters=types.Schema(type="OBJECT", properties={"city": types.Schema(type="STRING")})
)
TOOLS = types.GenerateContentConfig(
    tools=[types.Tool(function_declarations=[WEATHER])], automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True)
)


def generate():
    config = types.GenerateContentConfig(system_instruction="Be kind.", temperature=0.5)
    found = CLIENT.models.generate_content(model=MODEL, contents="hello", config=config)
    return [found.text, found.candidates[0].finish_reason.value, found.usage_metadata.total_token_count]


def generate_length():
    return CLIENT.models.generate_content(model=MODEL, contents="long").candidates[0].finish_reason.value


def generate_stop():
    return CLIENT.models.generate_content(model=MODEL, contents="hello", config=types.GenerateContentConfig(stop_sequences=[" the"])).text


def stream():
    chunks = list(CLIENT.models.generate_content_stream(model=MODEL, contents="hello"))
    text = "".join(one.text or "" for one in chunks)
    return [text, chunks[-1].candidates[0].finish_reason.value, chunks[-1].usage_metadata.candidates_token_count]


def stream_slow():
    return "".join(one.text or "" for one in CLIENT.models.generate_content_stream(model=MODEL, contents="slow"))


def stream_cut():
    text = ""
    try:
        for one in CLIENT.models.generate_content_stream(model=MODEL, contents="break"):
            text += one.text or ""
    except errors.APIError as error:
        return [text, error.code, error.status, error.details["code"]]
    return [text, "ended as if it were whole"]


def generate_cut():
    CLIENT.models.generate_content(model=MODEL, contents="break")


def tools():
    asked = types.Content(role="user", parts=[types.Part(text="weather")])
    first = CLIENT.models.generate_content(model=MODEL, contents=[asked], config=TOOLS)
    call = first.function_calls[0]
    answer = types.Content(role="user", parts=[types.Part.from_function_response(name=call.name, response={"sky": "rain"})])
    second = CLIENT.models.generate_content(model=MODEL, contents=[asked, first.candidates[0].content, answer], config=TOOLS)
    return [call.name, call.args, second.text]


def tools_stream():
    chunks = list(CLIENT.models.generate_content_stream(model=MODEL, contents="weather", config=TOOLS))
    return [call.name for one in chunks for call in one.function_calls or ()]


def forcing():
    clock = WEATHER.model_copy(update={"name": "clock"})
    calling = types.FunctionCallingConfig(mode="ANY", allowed_function_names=["weather"])
    more = {"tools": [types.Tool(function_declarations=[clock, WEATHER])], "tool_config": types.ToolConfig(function_calling_config=calling)}
    return TOOLS.model_copy(update=more)


def tool_forced():
    return CLIENT.models.generate_content(model=MODEL, contents="hello", config=forcing()).function_calls[0].name


def tool_forced_in_vain():
    CLIENT.models.generate_content(model=MODEL, contents="refuse", config=forcing())


def structured():
    schema = types.Schema(type="OBJECT", properties={"n": types.Schema(type="INTEGER")}, required=["n"])
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=schema)
    return json.loads(CLIENT.models.generate_content(model=MODEL, contents="schema", config=config).text)


def embed():
    return [one.values for one in CLIENT.models.embed_content(model="up/e", contents=["one", "three"]).embeddings]


def count():
    return CLIENT.models.count_tokens(model=MODEL, contents="x" * 400).total_tokens


def models():
    names = [one.name for one in CLIENT.models.list(config={"page_size": 2})]
    return ["models/up/m" in names, "models/persona:ely" in names, CLIENT.models.get(model="persona:ely").display_name]


def persona():
    return CLIENT.models.generate_content(model="persona:ely@up/m", contents="hello").text


def wrong_key():
    client = genai.Client(api_key="lum_wrong", http_options=types.HttpOptions(base_url=URL))
    client.models.generate_content(model=MODEL, contents="hello")


def unknown_model():
    CLIENT.models.generate_content(model="nothing", contents="hello")


def picture():
    CLIENT.models.generate_content(model=MODEL, contents=[types.Part.from_bytes(data=b"png", mime_type="image/png")])


def oversized():
    CLIENT.models.generate_content(model=MODEL, contents="x" * 500_000)


def outcome(scene):
    try:
        return scene()
    except errors.APIError as error:
        return {"raised": type(error).__name__, "status": error.code, "name": error.status, "code": error.details.get("code")}


OTHERS = ("said", "outcome", "forcing")
SCENES = [one for name, one in list(globals().items()) if getattr(one, "__module__", "") == "__main__" and name not in OTHERS]
sys.stdout.write(json.dumps({one.__name__: outcome(one) for one in SCENES}))
