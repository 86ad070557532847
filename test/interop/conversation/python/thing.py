"""Thing of conversation.capnp, on pycapnp."""
import asyncio
import gc
import pathlib

import capnp

# stream.capnp is where pycapnp is.
schema = capnp.load(str(pathlib.Path(__file__).resolve().parents[1] / "conversation.capnp"),
                    imports=[str(pathlib.Path(capnp.__file__).parents[1])])
METHODS = ("echo fail keep give call make self mirror later go sequence push seen live canceled tail promise settle early "
           "size waiting hangup").split()


def pattern(n):
    wheel = bytes((i * 7 + 1) & 255 for i in range(256))  # then it comes again
    return (wheel * (n // 256 + 1))[:n]


def live():
    """Things alive in this process."""
    gc.collect()  # of the circles that exceptions make with their frames
    return Thing.alive


def client(server):
    return schema.Thing._new_client(server)


class Promised(schema.Thing.Server):
    """pycapnp makes promises of what calls answer, so this is how to make one: its `later` answers when it is told."""

    def __init__(self, outcome):
        self.outcome = outcome

    async def later_context(self, context):
        context.results.cap = await self.outcome


def new_promise():
    """A capability that leads nowhere yet, and the future that decides where."""
    outcome = asyncio.get_running_loop().create_future()
    return client(Promised(outcome)).later().cap, outcome


class Thing(schema.Thing.Server):
    alive = 0

    def __init__(self, cut):
        """`cut` ends the connection that this object was made for."""
        Thing.alive += 1
        self.cut, self.kept, self.outcome = cut, None, None
        self.waiters, self.remembered, self.boxed, self.next, self.canceled = [], [], b"", 0, 0

    def __del__(self):
        Thing.alive -= 1

    async def base_context(self, context):
        context.results.value = context.params.value + 100

    async def left_context(self, context):
        context.results.value = context.params.value + 200

    async def right_context(self, context):
        context.results.value = context.params.value + 300

    async def put_context(self, context):
        self.boxed = bytes(context.params.content)

    async def get_context(self, context):
        context.results.content = self.boxed

    async def save_context(self, context):
        context.results.sturdyRef = context.params.sealFor

    async def echo_context(self, context):
        params, results = context.params, context.results
        self.remembered.append(params.value & 255)
        results.value = params.value
        if params._has("data"):
            results.data = params.data

    async def fail_context(self, context):
        raise RuntimeError("asked to fail")

    async def keep_context(self, context):
        self.kept = context.params.cap if context.params._has("cap") else None

    async def give_context(self, context):
        if self.kept is not None:
            context.results.cap = self.kept

    def relayed(self, params):
        """Makes the call that the parameters say of the kept capability."""
        if self.kept is None:
            raise RuntimeError("nothing kept")
        note = {"cap": params.cap} if params._has("cap") else {}
        return self.kept._send(METHODS[params.via], value=params.value, **note)

    async def call_context(self, context):
        got = await self.relayed(context.params)
        results = context.results
        results.value, results.data = got.value, got.data
        if got._has("cap"):
            results.cap = got.cap

    async def tail_context(self, context):
        """Copies the answer: `tail_call` of pycapnp ends the process when the caller keeps the results."""
        await self.call_context(context)

    async def make_context(self, context):
        context.results.cap = Thing(self.cut)

    async def self_context(self, context):
        context.results.cap = self

    async def mirror_context(self, context):
        if context.params._has("cap"):
            context.results.cap = context.params.cap

    async def wait(self):
        """Value and capability of the next `go`."""
        waiter = asyncio.get_running_loop().create_future()
        self.waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            self.waiters.remove(waiter)
            self.canceled += 1
            raise

    async def later_context(self, context):
        value, cap = await self.wait()
        context.results.value = value
        if cap is not None:
            context.results.cap = cap

    async def early_context(self, context):
        """Cannot do what its name says: pycapnp has no pipeline before the answer."""
        value, _ = await self.wait()
        context.results.value = value
        context.results.cap = Thing(self.cut)

    async def go_context(self, context):
        params = context.params
        for waiter in self.waiters:
            waiter.set_result((params.value, params.cap if params._has("cap") else None))
        self.waiters = []
        context.results.value = params.value

    async def sequence_context(self, context):
        context.results.value = self.next
        self.next += 1

    async def push_context(self, context):
        if context.params.value == 666:
            raise RuntimeError("asked to fail")
        self.remembered.append(context.params.value & 255)

    async def seen_context(self, context):
        context.results.value = len(self.remembered)
        context.results.data = bytes(self.remembered)

    async def live_context(self, context):
        context.results.value = live()

    async def canceled_context(self, context):
        context.results.value = self.canceled

    async def promise_context(self, context):
        context.results.cap, self.outcome = new_promise()

    async def settle_context(self, context):
        if context.params.value == 1:
            self.outcome.set_exception(RuntimeError("asked to reject"))
        else:
            self.outcome.set_result(context.params.cap)
        self.outcome = None

    async def size_context(self, context):
        context.results.value = context.params.value
        context.results.data = pattern(context.params.value)

    async def waiting_context(self, context):
        context.results.value = len(self.waiters)

    async def hangup_context(self, context):
        self.cut()
        await asyncio.get_running_loop().create_future()
