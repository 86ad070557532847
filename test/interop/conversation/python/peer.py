"""The Python side of the conversations: `peer.py server ADDRESS` serves a fresh Thing to each connection, `peer.py client
ADDRESS CASES NAME...` runs those cases, each on its own connection, and prints "ok NAME" or "not ok NAME: why"."""
import asyncio
import pathlib
import socket
import sys

import capnp

from client import Conversation
from thing import Thing


async def adopt(sock):
    """A stream on a connected socket of any family, and a function that cuts the connection, whatever is on its way."""
    twin = sock.dup()

    def cut():
        try:
            twin.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has ended already
    return await capnp.AsyncIoStream.create_connection(sock=sock), cut, twin


async def serve_one(sock):
    stream, cut, twin = await adopt(sock)
    server = capnp.TwoPartyServer(stream, bootstrap=Thing(cut))
    await server.on_disconnect()
    server.close()
    stream.close()
    twin.close()


async def serve(address):
    kind, _, path = address.partition(":")
    listener = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
    listener.bind(path if kind == "unix" else ("127.0.0.1", 0))
    listener.listen()
    listener.setblocking(False)
    print("LISTEN", address if kind == "unix" else f"tcp:127.0.0.1:{listener.getsockname()[1]}", flush=True)
    tasks = set()
    while True:
        sock, _ = await asyncio.get_running_loop().sock_accept(listener)
        task = asyncio.create_task(serve_one(sock))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


async def run_case(address, lines):
    """Why it failed; None when it did not."""
    sock = socket.socket(socket.AF_UNIX if address.startswith("unix:") else socket.AF_INET)
    sock.connect(address[5:] if address.startswith("unix:") else ("127.0.0.1", int(address.rsplit(":", 1)[1])))
    stream, cut, twin = await adopt(sock)
    talk = Conversation(capnp.TwoPartyClient(stream), cut)
    at = "end of the conversation"
    try:
        connected = True
        for at in lines:
            verb = at.split()[0]
            if verb == "end":
                connected = False
            elif verb not in ("slow", "hold", "inline", "wire", "before", "not"):
                await talk.step(at)
        at = "end of the conversation"
        await talk.finish(connected)
    except Exception as why:  # noqa: BLE001: any exception is a failed case
        return f"{at}: {type(why).__name__}: {why}".replace("\n", " ")
    finally:
        talk.close()
        stream.close()
        twin.close()
    return None


async def run_client(address, path, names):
    cases = {}
    for line in pathlib.Path(path).read_text().splitlines():
        if line.startswith("case "):
            steps = cases[line.split()[1]] = []
        elif line.startswith("    "):
            steps.append(line[4:])
    for name in names:
        why = await run_case(address, cases[name])
        print(f"not ok {name}: {why}" if why else f"ok {name}", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "server":
        asyncio.run(capnp.run(serve(sys.argv[2])))
    else:
        asyncio.run(capnp.run(run_client(sys.argv[2], sys.argv[3], sys.argv[4:])))
