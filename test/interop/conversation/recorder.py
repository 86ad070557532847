"""A relay between two Cap'n Proto peers which notes every message, and holds back those that it was told to."""
import asyncio
import os
import struct
import threading

KINDS = ["unimplemented", "abort", "call", "return", "finish", "resolve", "release", "obsoleteSave", "bootstrap",
         "obsoleteDelete", "provide", "accept", "join", "disembargo", "thirdPartyAnswer"]
RETURNS = ["results", "exception", "canceled", "resultsSentElsewhere", "takeFromOtherQuestion", "awaitFromThirdParty"]
CONTEXTS = ["sender", "receiver", "accept", "provide"]
THING = 0xfeedfacecafe0001
METHODS = ("echo fail keep give call make self mirror later go sequence push seen live canceled tail promise settle early "
           "size waiting hangup").split()


class Message:
    """Just enough of a message to follow a pointer to a struct."""

    def __init__(self, frame):
        count = struct.unpack_from("<I", frame)[0] + 1
        sizes = struct.unpack_from(f"<{count}I", frame, 4)
        at = (4 + 4 * count + 7) & ~7
        self.frame, self.segments, self.starts = frame, [], []
        for size in sizes:
            self.starts.append(at)
            self.segments.append(frame[at:at + size * 8])
            at += size * 8

    def struct_at(self, segment, word):
        """(segment, first word of the data, data words, pointers) of the struct that this pointer leads to."""
        pointer = struct.unpack_from("<Q", self.segments[segment], word * 8)[0]
        if pointer & 3 == 2:
            target, pad = pointer >> 32, (pointer & 0xffffffff) >> 3
            if pointer & 4:
                far = struct.unpack_from("<Q", self.segments[target], pad * 8)[0]
                tag = struct.unpack_from("<Q", self.segments[target], pad * 8 + 8)[0]
                return far >> 32, (far & 0xffffffff) >> 3, (tag >> 32) & 0xffff, tag >> 48
            return self.struct_at(target, pad)
        offset = struct.unpack("<i", struct.pack("<I", pointer & 0xfffffffc))[0] >> 2
        return segment, word + 1 + offset, (pointer >> 32) & 0xffff, pointer >> 48

    def with_release(self):
        """The frame of a Return, which then says releaseParamCaps."""
        segment, word, data, _ = self.struct_at(0, 0)
        body, at, _, _ = self.struct_at(segment, word + data)
        frame = bytearray(self.frame)
        frame[self.starts[body] + at * 8 + 4] &= 0xfe  # true is the default, so 0
        return bytes(frame)

    def describe(self):
        """Such as call/echo, return/exception, disembargo/sender; and the message's first number."""
        segment, word, data, _ = self.struct_at(0, 0)
        tag = struct.unpack_from("<H", self.segments[segment], word * 8)[0] if data else 0
        kind = KINDS[tag] if tag < len(KINDS) else str(tag)
        body, at, words, _ = self.struct_at(segment, word + data)
        blob = self.segments[body][at * 8:(at + words) * 8] + bytes(24)
        number = struct.unpack_from("<I", blob)[0]
        if kind == "call":
            method, iface = struct.unpack_from("<H", blob, 4)[0], struct.unpack_from("<Q", blob, 8)[0]
            kind += "/" + (METHODS[method] if iface == THING and method < len(METHODS) else "other")
        elif kind == "return":
            kind += "/" + RETURNS[min(struct.unpack_from("<H", blob, 6)[0], 5)]
        elif kind == "abort":
            text = b"".join(self.segments)[16:]
            kind += "/" + "".join(chr(c) for c in text if 32 <= c < 127)
        elif kind == "disembargo":
            kind += "/" + CONTEXTS[min(struct.unpack_from("<H", blob, 4)[0], 3)]
        return kind, number


def frame_bytes(buffer):
    """The length of the message that the buffer starts with; 0 while that is not known."""
    if len(buffer) < 8:
        return 0
    count = struct.unpack_from("<I", buffer)[0] + 1
    head = (4 + 4 * count + 7) & ~7
    if len(buffer) < head:
        return 0
    return head + 8 * sum(struct.unpack_from(f"<{count}I", buffer, 4))


def matches(pattern, kind):
    return kind == pattern or kind.startswith(pattern + "/")


class Way:
    """One direction of a conversation: what was read waits here until it may go on."""

    def __init__(self, writer):
        self.writer, self.queue = writer, asyncio.Queue()


class Conversation:
    """What went over one connection, and what is held back in it. `log` has (direction, kind, number) in the order in which
    messages came; `ended` is set when both sides have gone."""

    def __init__(self, plan):
        self.plan, self.log, self.waiting, self.met, self.ended = plan, [], [], {}, threading.Event()

    def count(self, direction, pattern):
        return sum(1 for way, kind, _ in self.log if way == direction and matches(pattern, kind))

    def note(self, direction, kind, number):
        self.log.append((direction, kind, number))
        for waiting in self.waiting:
            waiting.set()

    async def turn(self, direction, kind):
        """Holds a message of this kind until the other one was seen, or for some time. Who has gone waits for nothing."""
        for way, pattern, ms in self.plan.slow:
            if way == direction and matches(pattern, kind):
                await asyncio.sleep(ms / 1000)
        for at, (way, pattern, skip, until_way, until, number) in enumerate(self.plan.hold):
            if way == direction and matches(pattern, kind):
                self.met[at] = self.met.get(at, 0) + 1
                if self.met[at] <= skip:
                    continue
                news = asyncio.Event()
                self.waiting.append(news)
                while self.count(until_way, until) < number and not any(k.startswith("end") for _, k, _ in self.log):
                    news.clear()
                    await news.wait()
                self.waiting.remove(news)

    async def read(self, direction, reader, way, packed):
        buffer = bytearray()
        try:
            while data := await reader.read(1 << 20):
                if packed:  # passed on as it comes: only plain conversations are looked into
                    way.queue.put_nowait((None, data))
                    continue
                buffer += data
                while (n := frame_bytes(buffer)) and len(buffer) >= n:
                    frame = bytes(buffer[:n])
                    del buffer[:n]
                    message = Message(frame)
                    kind, number = message.describe()
                    if self.plan.inline and direction == "s2c":
                        if kind == "release":
                            continue
                        frame = message.with_release() if kind.startswith("return/") else frame
                    self.note(direction, kind, number)
                    way.queue.put_nowait((kind, frame))
            way.queue.put_nowait((None, bytes(buffer)))
            self.note(direction, "end", 0)
        except OSError as error:
            self.note(direction, f"end ({os.strerror(error.errno) if error.errno else error})", 0)
        way.queue.put_nowait((None, None))

    async def write(self, direction, way):
        try:
            while (item := await way.queue.get())[1] is not None:
                if item[0]:
                    await self.turn(direction, item[0])
                way.writer.write(item[1])
                await way.writer.drain()
            way.writer.write_eof()
        except OSError:
            pass  # the reader from there says so
        way.writer.close()


class Recorder:
    """Accepts one connection after the other. `plans` has for each the delays (slow) and the conditions (hold)."""

    def __init__(self, server_address, packed, plans):
        self.server_address, self.packed, self.plans = server_address, packed, plans
        self.conversations = []

    async def listen(self, address):
        if address.startswith("unix:"):
            self.server = await asyncio.start_unix_server(self.serve, address[5:])
            return address
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        return f"tcp:127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def close(self):
        self.server.close()

    async def serve(self, reader, writer):
        # The i-th connection is the i-th conversation.
        talk = Conversation(self.plans[len(self.conversations)])
        self.conversations.append(talk)
        try:
            if self.server_address.startswith("unix:"):
                server = await asyncio.open_unix_connection(self.server_address[5:])
            else:
                server = await asyncio.open_connection("127.0.0.1", int(self.server_address.rsplit(":", 1)[1]))
        except OSError as error:
            talk.note("s2c", f"end (no server: {error})", 0)
            writer.close()
            talk.ended.set()
            return
        there, back = Way(server[1]), Way(writer)
        await asyncio.gather(talk.read("c2s", reader, there, self.packed), talk.write("c2s", there),
                             talk.read("s2c", server[0], back, self.packed), talk.write("s2c", back))
        talk.ended.set()
