"""Takes the steps of a case."""
import asyncio
import gc
import pathlib
import tempfile
import time

import capnp

from thing import Thing, client, live, new_promise, pattern, schema

PATIENCE = 20


def many_methods():
    """Thing with a hundred methods, of which the last is not there: pycapnp calls methods by their names in a schema."""
    methods = "".join(f"    m{i} @{i} Note -> Note;\n" for i in range(100))
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "hundred.capnp"
        path.write_text("@0xc5b9f3c1a7e2d012;\nstruct Note { value @0 :UInt64; }\n"
                        f"interface Hundred @0xfeedfacecafe0001 {{\n{methods}}}\n")
        return capnp.SchemaParser().load(str(path)).Hundred


class Step:
    def __init__(self, line):
        words = iter(line.split())
        self.verb, self.args, self.values = next(words), [], []
        self.expected = self.cap = self.data = self.via = None
        for word in words:
            key, _, value = word.partition("=")
            if word == "=":
                self.expected = int(next(words))
            elif key in ("cap", "via"):
                setattr(self, key, value)
            elif key == "data":
                self.data = int(value)
            elif ".." in word:
                first, last = word.split("..")
                self.values = range(int(first), int(last) + 1)
            else:
                self.args.append(word)

    def number(self, i):
        return int(self.args[i]) if len(self.args) > i else 0


class Question:
    """A call. Dropped, it is cancelled, or gives back its results."""

    def __init__(self, promise, value):
        async def settle():
            return await promise
        # The pipeline is taken first: to wait for a promise is to use it up.
        self.pipeline = promise.cap if "cap" in promise.schema.fieldnames else None
        self.value, self.task = value, asyncio.ensure_future(settle())

    def drop(self):
        self.task.cancel()
        self.task = self.pipeline = None

    async def settled(self):
        done, _ = await asyncio.wait([self.task], timeout=PATIENCE)
        assert done, "nothing in time"

    async def results(self):
        await self.settled()
        return self.task.result()


class Conversation:
    hundred = None

    def __init__(self, rpc, cut):
        self.rpc, self.cut = rpc, cut
        self.caps, self.questions, self.lists, self.outcomes, self.pushed = {}, {}, {}, {}, []
        self.caps["boot"] = rpc.bootstrap().cast_as(schema.Thing)

    def close(self):
        self.caps.clear()
        self.rpc.close()

    def send(self, target, step, method, value):
        cap = self.caps[target]
        if method in ("put", "get", "save"):
            named = {"put": {"content": pattern(step.data or 0)}, "get": {}, "save": {"sealFor": pattern(step.data or 0)}}
            return Question(cap._send(method, **named[method]), value)
        if method == "nomethod":
            Conversation.hundred = Conversation.hundred or many_methods()
            return Question(cap.cast_as(self.hundred)._send("m99", value=value), value)
        if method == "stranger":
            cap, method = cap.cast_as(schema.Stranger), "nothing"
        note = {"value": value}
        if step.via:
            note["via"] = list(schema.Thing.schema.methods).index(step.via)
        if step.data is not None:
            note["data"] = pattern(step.data)
        if step.cap:
            note["cap"] = self.caps[step.cap]
        return Question(cap._send(method, **note), value)

    async def check(self, question, step):
        got = await question.results()
        method = step.args[1] if step.verb == "ask" else None
        if method in ("get", "save"):
            data = got.content if method == "get" else got.sturdyRef
            assert bytes(data) == pattern(step.data), "other data"
            return
        if step.expected is not None:
            assert got.value == step.expected, f"answer {got.value} instead of {step.expected}"
        size = step.expected if method == "size" else step.data
        if size is not None and method not in (None, "put"):
            assert bytes(got.data) == pattern(size), "other data"

    async def fails(self, question, step):
        await question.settled()
        why = question.task.exception()
        assert why is not None, "did not fail"
        if len(step.args) > 1:
            assert why.type == step.args[1].upper(), f"{why.type}: {why}"
            assert " ".join(step.args[2:]) in str(why), f"another text: {why}"

    async def ask(self, step):
        end = time.monotonic() + PATIENCE
        while True:
            question = self.send(step.args[0], step, step.args[1], step.number(2))
            try:
                if step.verb == "until" and (await question.results()).value != step.expected and time.monotonic() < end:
                    await asyncio.sleep(0.002)
                    gc.collect()  # of what waits in circles to be given back
                    continue
                return await self.check(question, step)
            finally:
                question.drop()

    async def locals(self, want):
        end = time.monotonic() + PATIENCE
        while live() != want and time.monotonic() < end:
            await asyncio.sleep(0.002)
        assert live() == want, f"{live()} local objects instead of {want}"

    async def seen(self, step):
        want = [v & 255 for v in list(step.values) + [int(word) for word in step.args[1:]]]
        question = self.send(step.args[0], Step("seen"), "seen", 0)
        have = [b for b in (await question.results()).data if step.verb == "seen" or b in want]
        question.drop()
        assert have == want, f"the object saw {have}"

    async def stream_fails(self, step):
        target, text = self.caps[step.args[0]], " ".join(step.args[2:])
        try:
            await target.push(value=step.number(1))
            await self.step("ask boot sequence")
            await target.push(value=1)
        except capnp.KjException as why:
            assert text in str(why), f"another text: {why}"
            return
        raise AssertionError("the stream did not fail")

    def chain(self, step):
        at = self.caps[step.args[1]]
        for _ in range(step.number(2)):
            at = at.make().cap
        self.caps[step.args[0]] = at

    async def step(self, line):
        step = Step(line)
        a, verb = step.args, step.verb
        if verb in ("ask", "until"):
            await self.ask(step)
        elif verb == "send":
            self.questions[a[0]] = self.send(a[1], step, a[2], step.number(3))
        elif verb == "calls":
            self.lists[a[0]] = [self.send(a[1], step, a[2], v) for v in step.values]
        elif verb == "waits":
            for question in self.lists[a[0]]:
                got = (await question.results()).value
                assert got == question.value, f"answer {got} instead of {question.value}"
        elif verb == "failsall":
            for question in self.lists[a[0]]:
                await self.fails(question, step)
        elif verb == "wait":
            await self.check(self.questions[a[0]], step)
        elif verb == "fails":
            await self.fails(self.questions[a[0]], step)
        elif verb == "pending":
            assert not self.questions[a[0]].task.done(), "has its outcome already"
        elif verb == "null":
            assert not (await self.questions[a[0]].results())._has("cap"), "a capability where none should be"
        elif verb == "pipe":
            self.caps[a[0]] = self.questions[a[1]].pipeline
        elif verb == "take":
            got = await self.questions[a[1]].results()
            assert got._has("cap"), "no capability in the results"
            self.caps[a[0]] = got.cap
        elif verb == "chain":
            self.chain(step)
        elif verb == "bootstrap":
            self.caps[a[0]] = self.rpc.bootstrap().cast_as(schema.Thing)
        elif verb == "new":
            self.caps[a[0]] = client(Thing(self.cut))
        elif verb == "promise":
            self.caps[a[0]], self.outcomes[a[0]] = new_promise()
        elif verb == "resolve":
            self.outcomes.pop(a[0]).set_result(self.caps[a[1]])
        elif verb == "reject":
            self.outcomes.pop(a[0]).set_exception(RuntimeError("asked to reject"))
        elif verb == "abandon":
            self.outcomes.pop(a[0]).set_exception(RuntimeError("given up"))
            del self.caps[a[0]]
        elif verb == "drop":
            if a[0] in self.questions:
                self.questions.pop(a[0]).drop()
            else:
                del self.caps[a[0]]
        elif verb == "locals":
            await self.locals(step.number(0))
        elif verb in ("seen", "inorder"):
            await self.seen(step)
        elif verb == "stream":
            for v in step.values:
                await self.caps[a[0]].push(value=v)
        elif verb == "pushes":
            async def push(promise):
                await promise
            self.pushed += [asyncio.ensure_future(push(self.caps[a[0]].push(value=v))) for v in step.values]
        elif verb == "streamfails":
            await self.stream_fails(step)
        elif verb == "disconnect":
            self.cut()
        else:
            raise AssertionError("unknown step")

    async def finish(self, connected):
        """What every conversation ends with: nothing is left, on either side."""
        for question in [*self.questions.values(), *sum(self.lists.values(), [])]:
            question.drop()
        for task in self.pushed:
            task.cancel()
        self.questions, self.lists, self.outcomes, self.pushed = {}, {}, {}, []
        self.caps = {"boot": self.caps["boot"]} if connected else {}
        if connected:
            await self.step("ask boot keep")
            await self.step("until boot live = 1")
        self.caps.clear()
        await self.locals(0)
