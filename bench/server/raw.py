"""The limit: a Starlette handler that reads Redis and answers JSON, without types or statuses."""

import struct
import sys

import msgspec
import redis
import uvicorn
from anyio import to_thread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bench.server.load import FEATURES, KEYS, value

ROW = struct.Struct(f"!{FEATURES}d")


def main() -> None:
    """Run `address port`."""
    host, _, port = sys.argv[1].partition(":")
    client = redis.Redis(host, int(port), db=1)
    with client.pipeline(transaction=False) as pipe:
        for key in range(KEYS):
            pipe.set(f"raw:{key}", ROW.pack(*(value(key, n) for n in range(FEATURES))))
        pipe.execute()
    names = [f"f{n}" for n in range(FEATURES)]

    def read(body: bytes) -> bytes:
        keys = msgspec.json.decode(body)["entities"]["key"]
        rows = [row and ROW.unpack(row) for row in client.mget([f"raw:{k}" for k in keys])]
        columns = {name: [row and row[n] for row in rows] for n, name in enumerate(names)}
        return msgspec.json.encode({"key": keys, **columns})

    async def answer(request: Request) -> Response:
        content = await to_thread.run_sync(read, await request.body())
        return Response(content, media_type="application/json")

    app = Starlette(routes=[Route("/get-online-features", answer, methods=["POST"])])
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), access_log=False, log_level="error")


if __name__ == "__main__":
    main()
