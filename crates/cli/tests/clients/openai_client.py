"""What the openai client for Python makes of a server of ours. Usage: openai_client.py BASE_URL PICTURES TEXT PNG

Prints what it saw as one JSON object, and writes the picture to PNG.
"""

import base64
import json
import sys

import openai

base_url, pictures, text, png = sys.argv[1:]
client = openai.OpenAI(base_url=base_url, api_key="none", max_retries=0)

seen = {"models": sorted(model.id for model in client.models.list())}
seen["model"] = client.models.retrieve(pictures).id

answer = client.images.generate(model=pictures, prompt="", n=2, size="auto", extra_body={"seed": 7})
seen["pictures"] = len(answer.data)
with open(png, "wb") as file:
    file.write(base64.b64decode(answer.data[0].b64_json))

ask = dict(model=text, prompt="the moon", max_tokens=12, seed=3, temperature=0.8)
whole = client.completions.create(**ask)
seen["text"] = whole.choices[0].text
seen["reason"] = whole.choices[0].finish_reason
seen["usage"] = whole.usage.total_tokens
seen["streamed"] = "".join(event.choices[0].text for event in client.completions.create(stream=True, **ask))

chat = dict(model=text, max_completion_tokens=12, seed=3, temperature=0.8)
chat["messages"] = [{"role": "user", "content": "the moon"}]
seen["chat"] = client.chat.completions.create(**chat).choices[0].message.content
events = client.chat.completions.create(stream=True, **chat)
seen["chat streamed"] = "".join(event.choices[0].delta.content or "" for event in events)


def problem(make):
    try:
        make()
    except openai.APIStatusError as error:
        return [error.status_code, error.param, error.type]
    return "no error"


seen["bad n"] = problem(lambda: client.images.generate(model=pictures, prompt="", n=0))
seen["bad model"] = problem(lambda: client.completions.create(model="none", prompt=""))
json.dump(seen, sys.stdout)
