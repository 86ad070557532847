// guest.mjs stdio|push FILE.wasm [ARGUMENT]: a host for guests of ww/rpc_wasi.h. "stdio" gives the guest our standard input
// and output; "push" runs the loop here and moves the bytes through the guest's exports.
import {readFileSync, readSync, writeSync} from 'node:fs';
import {WASI} from 'node:wasi';

const [mode, file, ...args] = process.argv.slice(2);
const wasi = new WASI({version: 'preview1', args: [file, ...args], env: {}, returnOnExit: true});
const module = await WebAssembly.compile(readFileSync(file));
const {exports: guest} = await WebAssembly.instantiate(module, wasi.getImportObject());
if (mode === 'stdio')
    process.exit(wasi.start({exports: guest}));

wasi.initialize({exports: guest});
if (guest.ww_rpc_wasi_push(0) >= 0 || guest.start() !== 0)
    throw new Error('a guest that has not started takes bytes, or does not start');

function write(bytes) {
    for (let at = 0; at < bytes.length;) {
        try {
            at += writeSync(1, bytes, at);
        } catch (error) {
            if (error.code !== 'EAGAIN')
                throw error;
        }
    }
}

function pull() {
    for (let size; (size = guest.ww_rpc_wasi_pull_size()) > 0; guest.ww_rpc_wasi_pulled(size))
        write(new Uint8Array(guest.memory.buffer, guest.ww_rpc_wasi_pull(), size).slice());
}

const chunk = new Uint8Array(65536);
for (let n; (n = readSync(0, chunk)) > 0;) {
    const room = guest.ww_rpc_wasi_room(n);
    if (room === 0)
        throw new Error('the guest has no memory');
    new Uint8Array(guest.memory.buffer, room, n).set(chunk.subarray(0, n));
    if (guest.ww_rpc_wasi_push(n) < 0)
        throw new Error('the guest has closed');
    pull();
}
guest.ww_rpc_wasi_end();
