"""A relay between two Cap'n Proto peers which notes every message, and holds back those that it was told to."""
import asyncio
import os
import struct

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
        self.segments = []
        for size in sizes:
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


class Recorder:
    """Accepts one connection after the other; `start` says what the next one is. `log` then has (direction, kind, number)
    in the order in which messages came."""

    def __init__(self, server_address, packed):
        self.server_address, self.packed = server_address, packed
        self.plans, self.logs = [], []

    async def listen(self, address):
        if address.startswith("unix:"):
            self.server = await asyncio.start_unix_server(self.serve, address[5:])
            return address
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        return f"tcp:127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def serve(self, reader, writer):
        # The i-th connection is the i-th conversation.
        index = len(self.logs)
        log, slow = [], self.plans[index] if index < len(self.plans) else []
        self.logs.append(log)
        if self.server_address.startswith("unix:"):
            to = await asyncio.open_unix_connection(self.server_address[5:])
        else:
            to = await asyncio.open_connection("127.0.0.1", int(self.server_address.rsplit(":", 1)[1]))
        ways = [asyncio.ensure_future(self.relay("c2s", reader, to[1], log, slow)),
                asyncio.ensure_future(self.relay("s2c", to[0], writer, log, slow))]
        await asyncio.wait(ways)

    async def relay(self, direction, reader, writer, log, slow):
        buffer = bytearray()
        slow = [(kind, ms) for way, kind, ms in slow if way == direction]
        try:
            while True:
                data = await reader.read(1 << 20)
                if not data:
                    break
                if self.packed:  # passed on as it comes: only plain conversations are looked into
                    writer.write(data)
                    await writer.drain()
                    continue
                buffer += data
                while (n := frame_bytes(buffer)) and len(buffer) >= n:
                    frame = bytes(buffer[:n])
                    del buffer[:n]
                    kind, number = Message(frame).describe()
                    log.append((direction, kind, number))
                    for pattern, ms in slow:
                        if matches(pattern, kind):
                            await asyncio.sleep(ms / 1000)
                    writer.write(frame)
                    await writer.drain()
            writer.write(bytes(buffer))
            log.append((direction, "end", 0))
            await writer.drain()
        except (ConnectionError, OSError) as error:
            log.append((direction, f"end ({os.strerror(error.errno) if error.errno else error})", 0))
        finally:
            try:
                writer.write_eof()
            except OSError:
                pass
            writer.close()
