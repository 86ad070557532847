"""A small libp2p dialer in Python: multistream-select, Noise XX (libp2p specs, noise/README.md), Yamux frames. It is written
apart from the product on purpose, and can stop or lie at any stage. Cryptography comes from libsodium."""
import ctypes
import ctypes.util
import hashlib
import hmac
import os
import socket
import struct

_sodium = ctypes.CDLL(ctypes.util.find_library("sodium") or "libsodium.so.23")
_sodium.sodium_init()


def _call(name, out, *args):
    buffer = ctypes.create_string_buffer(out) if out else None
    code = getattr(_sodium, name)(*([buffer] if out else []), *args)
    if code != 0:
        raise ValueError(f"{name} failed")
    return buffer.raw if out else b""


def x25519_base(secret):
    return _call("crypto_scalarmult_base", 32, secret)


def x25519(secret, public):
    return _call("crypto_scalarmult", 32, secret, public)


def ed25519(seed):
    public, secret = ctypes.create_string_buffer(32), ctypes.create_string_buffer(64)
    _sodium.crypto_sign_seed_keypair(public, secret, seed)
    return public.raw, secret.raw


def sign(secret, data):
    return _call("crypto_sign_detached", 64, None, data, ctypes.c_ulonglong(len(data)), secret)


def seal(key, n, ad, plain):
    return _call("crypto_aead_chacha20poly1305_ietf_encrypt", len(plain) + 16, None, plain, ctypes.c_ulonglong(len(plain)), ad,
                 ctypes.c_ulonglong(len(ad)), None, struct.pack("<IQ", 0, n), key)


def unseal(key, n, ad, sealed):
    plain = ctypes.create_string_buffer(max(1, len(sealed) - 16))
    code = _sodium.crypto_aead_chacha20poly1305_ietf_decrypt(
        plain, None, None, sealed, ctypes.c_ulonglong(len(sealed)), ad, ctypes.c_ulonglong(len(ad)), struct.pack("<IQ", 0, n),
        key)
    if code != 0:
        raise ValueError("decryption failed")
    return plain.raw[:len(sealed) - 16]


def hkdf(chaining, data, count):
    temp = hmac.digest(chaining, data, "sha256")
    out, last = [], b""
    for i in range(count):
        last = hmac.digest(temp, last + bytes([i + 1]), "sha256")
        out.append(last)
    return out


def varint(n):
    out = b""
    while n >= 0x80:
        out += bytes([n & 0x7f | 0x80])
        n >>= 7
    return out + bytes([n])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def token(text):
    line = text.encode() + b"\n"
    return varint(len(line)) + line


class Dialer:
    """A TCP connection to a node. Call the stages in order; `raw` sends anything at any of them."""

    def __init__(self, host, port, timeout=5):
        self.sock = socket.create_connection((host, port), timeout=timeout)
        self.key = self.nonce_out = self.nonce_in = None
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    # ---- bytes ----

    def raw(self, data):
        self.sock.sendall(data)

    def _read(self, n):
        data = b""
        while len(data) < n:
            part = self.sock.recv(n - len(data))
            if not part:
                raise EOFError("closed")
            data += part
        return data

    def closed(self, timeout=10):
        """Whether the node closes the connection in that time, whatever it says before."""
        self.sock.settimeout(timeout)
        try:
            while self.sock.recv(65536):
                pass
            return True
        except socket.timeout:
            return False
        except ConnectionError:
            return True

    # ---- multistream-select in the clear ----

    def multistream(self, protocol="/noise"):
        self.raw(token("/multistream/1.0.0") + token(protocol))
        want = token("/multistream/1.0.0") + token(protocol)
        got = self._read(len(want))
        assert got == want, got

    # ---- Noise XX ----

    def _mix_hash(self, data):
        self.h = hashlib.sha256(self.h + data).digest()

    def _mix_key(self, data):
        self.ck, self.k = hkdf(self.ck, data, 2)
        self.n = 0

    def _encrypt(self, plain):
        sealed = seal(self.k, self.n, self.h, plain)
        self.n += 1
        self._mix_hash(sealed)
        return sealed

    def _decrypt(self, sealed):
        plain = unseal(self.k, self.n, self.h, sealed)
        self.n += 1
        self._mix_hash(sealed)
        return plain

    def _frame(self, data):
        self.raw(struct.pack(">H", len(data)) + data)

    def _unframe(self):
        return self._read(struct.unpack(">H", self._read(2))[0])

    def noise_first(self):
        """Sends the first message."""
        self.h = self.ck = b"Noise_XX_25519_ChaChaPoly_SHA256"
        self._mix_hash(b"")
        self.e = os.urandom(32)
        public = x25519_base(self.e)
        self._mix_hash(public)
        self._mix_hash(b"")
        self._frame(public)

    def noise_second(self):
        """Reads the second."""
        message = self._unframe()
        re, rs = message[:32], message[32:80]
        self._mix_hash(re)
        self._mix_key(x25519(self.e, re))
        self.re, self.rs = re, self._decrypt(rs)
        self._mix_key(x25519(self.e, self.rs))
        return self._decrypt(message[80:])

    def noise_third(self, lie=False):
        """Sends the third; with a signature over something else when lying."""
        static = os.urandom(32)
        sealed_static = self._encrypt(x25519_base(static))
        self._mix_key(x25519(static, self.re))
        public, secret = ed25519(os.urandom(32))
        statement = b"noise-libp2p-static-key:" + (bytes(32) if lie else x25519_base(static))
        payload = field(1, b"\x08\x01" + field(2, public)) + field(2, sign(secret, statement))
        self._frame(sealed_static + self._encrypt(payload))
        self.key_out, self.key_in = hkdf(self.ck, b"", 2)
        self.nonce_out = self.nonce_in = 0

    def noise(self):
        self.noise_first()
        self.noise_second()
        self.noise_third()

    # ---- above Noise ----

    def send(self, plain):
        self._frame(seal(self.key_out, self.nonce_out, b"", plain))
        self.nonce_out += 1

    def receive(self, n):
        while len(self.buffer) < n:
            self.buffer += unseal(self.key_in, self.nonce_in, b"", self._unframe())
            self.nonce_in += 1
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def muxer(self):
        want = token("/multistream/1.0.0") + token("/yamux/1.0.0")
        self.send(want)
        got = self.receive(len(want))
        assert got == want, got

    def yamux(self, kind, flags, stream, length, data=b""):
        self.send(struct.pack(">BBHII", 0, kind, flags, stream, length) + data)

    def stream(self, number, data):
        """Opens a stream and says this on it."""
        self.yamux(0, 1, number, len(data), data)

    def up(self):
        """All stages; streams can be opened then."""
        self.multistream()
        self.noise()
        self.muxer()
