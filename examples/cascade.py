"""
Cheap first: the small tier answers, a schema checks the answer, and only a wrong one goes to the large tier.

The scripted provider stands in for Anthropic, so that this runs offline; leave `http_client` out to go live.
"""

import tempfile

import anthropic

import outlay
from outlay import Cascade, JsonSchema, Step, Tool, Workflow
from outlay.testing import Reply, ScriptedProvider

SCRIPT = [
    Reply("It is Paris.", input_tokens=100, output_tokens=20),
    Reply('{"city": "Paris"}', input_tokens=100, output_tokens=20),
    Reply('{"city": "Rome"}', input_tokens=100, output_tokens=20),
    Reply("Rome is worth a visit.", input_tokens=100, output_tokens=20),
]
SCHEMA = {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}


def asking(text: str) -> dict[str, object]:
    """A request; its model is chosen by the strategy and the policy."""
    return {"model": "outlay/auto", "max_tokens": 500, "messages": [{"role": "user", "content": text}]}


def main() -> None:
    """Run a cascade, then a workflow of two calls and a tool, and look at the books."""
    with tempfile.TemporaryDirectory() as folder, outlay.open(f"sqlite:///{folder}/books.db") as books:
        books.create_tenant("acme", credit="5.00", daily_budget="1.00")
        transport = ScriptedProvider(SCRIPT)
        client = anthropic.Anthropic(
            api_key="none", http_client=anthropic.DefaultHttpxClient(transport=transport)
        )

        plan = Cascade(("small", "large"), JsonSchema(SCHEMA))
        answer = books.run("acme", asking("Capital of France, as JSON?"), strategy=plan, send=client)
        print(f"{answer.text} ({answer.why}, {answer.cost_usd} USD)")
        for one in answer.attempts:
            print(f"  {one.tier}: {one.outcome} for {one.cost_usd} USD {one.told}".rstrip())

        city = Step("city", asking("A city, as JSON?"), ("small",), share=0.5, verify=JsonSchema(SCHEMA))
        clean = Tool("clean", lambda values: values["city"].strip("{}"))
        praise = Step("praise", lambda values: asking(f"Praise {values['clean']}."), tiers=("medium",))
        done = books.run_workflow("acme", Workflow("trip", (city, clean, praise), "0.05"), send=client)
        print(f"{done.values['praise'].strip()} ({done.why}, {done.cost_usd} USD)")
        for step in done.steps:
            print(f"  {step.name}: {step.kind} for {step.cost_usd} USD")

        print(f"spent {books.balance('acme')['day']['spent_usd']} USD")


if __name__ == "__main__":
    main()
