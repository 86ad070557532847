"""Many members in one process: signed heartbeats of as many identities as asked for, published to a node over one gossip
stream (libp2p specs, pubsub/README.md; encodings from capnproto.org/encoding.html). Nothing of it is the product's code."""
import os
import struct
import threading

from noise import Dialer, ed25519, field, sign, token, varint


def text_words(data):
    data += b"\0"
    return data + bytes(-len(data) % 8)


def pack(words):
    """Cap'n Proto packing, without looking for the shortest form."""
    out = b""
    for at in range(0, len(words), 8):
        word = words[at:at + 8]
        tag = sum(1 << i for i, byte in enumerate(word) if byte)
        out += bytes([tag]) + bytes(b for b in word if b)
        if tag in (0, 0xff):
            out += b"\0"  # no more words of the kind
    return out


def list_pointer(offset, size, count):
    return struct.pack("<II", (offset & 0x3fffffff) << 2 | 1, count << 3 | size)


def heartbeat(ttl_ms, server, host, meta):
    """A packed message with struct Heartbeat: two data words, two pointers."""
    host_words, texts = text_words(host), [text_words(m) for m in meta]
    body = struct.pack("<IIQ", ttl_ms, 0, server)
    body += list_pointer(1, 2, len(host) + 1)
    body += list_pointer(len(host_words) // 8, 6, len(meta))
    body += host_words
    at = len(meta)  # in words, from the first pointer of the list to the texts
    for i, text in enumerate(meta):
        body += list_pointer(at - i - 1, 2, len(text) + 1)
        at += len(texts[i]) // 8
    body += b"".join(texts)
    root = struct.pack("<IHH", 0, 2, 2)
    return pack(struct.pack("<II", 0, 1 + len(body) // 8) + root + body)


def peer_id(public):
    return b"\x00\x24\x08\x01\x12\x20" + public


def publication(topic, data, sequence):
    """A signed message of a new identity, as the field of a gossip RPC."""
    public, secret = ed25519(os.urandom(32))
    message = field(1, peer_id(public)) + field(2, data) + field(3, struct.pack(">Q", sequence)) + field(4, topic)
    return field(2, message + field(5, sign(secret, b"libp2p-pubsub:" + message)))


class Crowd:
    """Publishes `count` members to the node at host and port when entered."""

    def __init__(self, host, port, ns, count, ttl_ms, meta):
        self.host, self.port, self.ns, self.count, self.ttl_ms, self.meta = host, port, ns, count, ttl_ms, meta

    def __enter__(self):
        self.dialer = Dialer(self.host, self.port, timeout=30)
        self.dialer.up()
        topic = self.ns.encode()
        subscribe = field(1, b"\x08\x01" + field(2, topic))
        self.dialer.stream(1, token("/multistream/1.0.0") + token(f"ww/0.1.0/{self.ns}/meshsub/1.1.0") +
                           varint(len(subscribe)) + subscribe)
        # What the node says is read and dropped, so that it is never held up.
        threading.Thread(target=self._drain, daemon=True).start()
        for i in range(self.count):
            data = heartbeat(self.ttl_ms, i + 1, b"crowd-%05d" % i, self.meta(i))
            rpc = publication(topic, data, 1)
            frame = varint(len(rpc)) + rpc
            self.dialer.yamux(0, 0, 1, len(frame), frame)
        return self

    def _drain(self):
        try:
            while self.dialer.sock.recv(65536):
                pass
        except OSError:
            pass

    def __exit__(self, *_):
        self.dialer.sock.close()
