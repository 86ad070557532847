// run.mjs FILE.wasm [call]: runs a program under Node's WASI; its exit status is ours. With "call", FILE is
// test/unit/rpc/guest.c: it is asked for its bootstrap capability and called, and must answer.
import {readFileSync} from 'node:fs';
import {WASI} from 'node:wasi';

const wasi = new WASI({version: 'preview1', args: [process.argv[2]], env: {}, returnOnExit: true});
const module = await WebAssembly.compile(readFileSync(process.argv[2]));
const instance = await WebAssembly.instantiate(module, wasi.getImportObject());
if (process.argv[3] !== 'call')
    process.exit(wasi.start(instance));
wasi.initialize(instance);
const guest = instance.exports;

// A struct pointer, and a framed message of one segment.
const struct = (offset, words, pointers) => BigInt(offset) << 2n | BigInt(words) << 32n | BigInt(pointers) << 48n;
function frame(words) {
    const out = new DataView(new ArrayBuffer(8 + words.length * 8));
    out.setUint32(4, words.length, true);
    words.forEach((word, i) => out.setBigUint64(8 + i * 8, word, true));
    return new Uint8Array(out.buffer);
}

// What the guest answers.
function exchange(bytes) {
    new Uint8Array(guest.memory.buffer, guest.guest_room(bytes.length), bytes.length).set(bytes);
    const length = guest.guest_serve(bytes.length);
    return length < 0 ? new Uint8Array() : new Uint8Array(guest.memory.buffer, guest.guest_reply(), length).slice();
}

// Message.bootstrap {questionId 0}; then Message.call {questionId 1, interfaceId 7, methodId 0, target: promised answer 0}.
const bootstrap = exchange(frame([struct(0, 1, 1), 8n, struct(0, 1, 1), 0n, 0n]));
const call = exchange(frame([
    struct(0, 1, 1), 2n,
    struct(0, 3, 3), 1n, 7n, 0n, struct(2, 1, 1), struct(5, 0, 2), 0n,
    1n << 32n, struct(0, 1, 1), 0n, 0n,
    0n, 0n]));
if (bootstrap.length < 48 || !new TextDecoder().decode(call).includes('served from a guest'))
    throw new Error(`the guest answered ${bootstrap.length} and ${call.length} bytes`);
console.log(`answered ${bootstrap.length} and ${call.length} bytes`);
