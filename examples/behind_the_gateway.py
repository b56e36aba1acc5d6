"""
An unmodified application behind the gateway: two environment variables, and no import of Outlay.
Gateway and provider run as processes of their own; live, the gateway is a service.
"""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import anthropic

import outlay
from simulator.run import start


def application() -> None:
    """The application, as it always was: it reads ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY."""
    with anthropic.Anthropic() as client:
        messages = [{"role": "user", "content": "Hi [[sim input_tokens=1000 output_tokens=300]]"}]
        message = client.messages.create(model="claude-sonnet-5-5", max_tokens=500, messages=messages)
        print(f"{message.model} used {message.usage.input_tokens} + {message.usage.output_tokens} tokens")


def wait_for(url: str) -> None:
    """Wait until the gateway is ready."""
    for _ in range(300):
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/readyz"):
            break
        time.sleep(0.1)


def main() -> None:
    """Start both servers, run the application against them, look at the books."""
    with tempfile.TemporaryDirectory() as folder, outlay.open(f"sqlite:///{folder}/books.db") as books:
        key = books.create_tenant("acme", credit="5.00")["key"]
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        places = {"OUTLAY_DATABASE_URL": f"sqlite:///{folder}/books.db", "ANTHROPIC_API_KEY": "k"}
        places["OUTLAY_UPSTREAM_URL"], provider = start(f"{folder}/bill.jsonl")
        command = [sys.executable, "-m", "outlay.cli", "gateway", "--port", str(port)]
        gateway = subprocess.Popen(command, env=os.environ | places, stderr=subprocess.DEVNULL)
        try:
            wait_for(f"http://127.0.0.1:{port}")
            os.environ |= {"ANTHROPIC_BASE_URL": f"http://127.0.0.1:{port}", "ANTHROPIC_API_KEY": key}
            application()
        finally:
            for process in (gateway, provider):
                process.terminate()
                process.wait()
        print(f"paid {books.balance('acme')['day']['spent_usd']} USD")


if __name__ == "__main__":
    main()
