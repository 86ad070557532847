#!/usr/bin/env node
// A js-libp2p peer for interop tests: `peer.mjs listen [options]`, `peer.mjs dial ADDR ping|identify|perf|gossip [options]`.
import { parseArgs } from 'node:util'

// js-libp2p 3 counts on this, Node 20 does not have it yet.
Promise.withResolvers ??= function () {
  let resolve, reject
  const promise = new Promise((a, b) => { resolve = a; reject = b })
  return { promise, resolve, reject }
}

const { createLibp2p } = await import('libp2p')
const { tcp } = await import('@libp2p/tcp')
const { noise } = await import('@libp2p/noise')
const { yamux } = await import('@libp2p/yamux')
const { identify } = await import('@libp2p/identify')
const { ping } = await import('@libp2p/ping')
const { gossipsub } = await import('@libp2p/gossipsub')
const { multiaddr } = await import('@multiformats/multiaddr')

const PERF = '/perf/1.0.0'
const CHUNK = new Uint8Array(64 * 1024)

async function makeNode (listen, withGossip) {
  const services = { identify: identify(), ping: ping() }
  if (withGossip) services.pubsub = gossipsub({ allowPublishToZeroTopicPeers: true })
  return createLibp2p({
    addresses: { listen },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionManager: { inboundConnectionThreshold: 1000 },
    services
  })
}

async function sendBytes (stream, count) {
  while (count > 0) {
    const part = count < CHUNK.length ? CHUNK.subarray(0, count) : CHUNK
    if (!stream.send(part)) await stream.onDrain()
    count -= part.length
  }
}

// Drains the upload, whose first eight bytes say how much shall come back.
async function servePerf (stream) {
  const head = new Uint8Array(8)
  let got = 0
  for await (const chunk of stream) {
    const bytes = chunk.subarray()
    for (let i = 0; i < bytes.length && got < 8; i++) head[got++] = bytes[i]
  }
  await sendBytes(stream, Number(new DataView(head.buffer).getBigUint64(0)))
  await stream.close()
}

async function dialPerf (node, conn, up, down) {
  const stream = await conn.newStream(PERF)
  const head = new Uint8Array(8)
  new DataView(head.buffer).setBigUint64(0, BigInt(down))
  const start = performance.now()
  stream.send(head)
  await sendBytes(stream, up)
  await stream.close()
  const middle = performance.now()
  let got = 0
  for await (const chunk of stream) got += chunk.byteLength
  if (got !== down) throw new Error(`got ${got} bytes instead of ${down}`)
  return { bytes_up: up, bytes_down: got, up_s: (middle - start) / 1000, down_s: (performance.now() - middle) / 1000 }
}

const text = (bytes) => new TextDecoder().decode(bytes)
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

async function dialGossip (node, peer, topic, count) {
  const echoes = new Set()
  const { promise, resolve } = Promise.withResolvers()
  node.services.pubsub.addEventListener('message', (e) => {
    if (text(e.detail.data).startsWith('re:')) echoes.add(text(e.detail.data))
    if (echoes.size === count) resolve()
  })
  node.services.pubsub.subscribe(topic)
  while (!node.services.pubsub.getSubscribers(topic).some((p) => p.equals(peer))) await sleep(20)
  await sleep(1200) // the mesh is made at the router's heartbeat
  for (let i = 0; i < count; i++) await node.services.pubsub.publish(topic, new TextEncoder().encode(`m${i}`))
  await promise
  return { published: count, received: echoes.size }
}

const { values: opt, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    addr: { type: 'string', default: '/ip4/127.0.0.1/tcp/0' },
    topic: { type: 'string' },
    count: { type: 'string', default: '3' },
    'bytes-up': { type: 'string', default: '0' },
    'bytes-down': { type: 'string', default: '0' },
    timeout: { type: 'string', default: '30' }
  }
})

async function listen () {
  const node = await makeNode([opt.addr], opt.topic != null)
  await node.handle(PERF, servePerf)
  if (opt.topic) {
    const pubsub = node.services.pubsub
    pubsub.addEventListener('message', (e) => {
      if (!text(e.detail.data).startsWith('re:')) {
        pubsub.publish(opt.topic, new TextEncoder().encode('re:' + text(e.detail.data)))
      }
    })
    pubsub.subscribe(opt.topic)
  }
  for (const a of node.getMultiaddrs()) console.log(`LISTEN ${a}`)
  process.on('SIGTERM', async () => { await node.stop(); process.exit(0) })
}

async function dial (addr, test) {
  const node = await makeNode([], test === 'gossip')
  // identify runs by itself on each new connection
  const identified = new Promise((resolve) => node.addEventListener('peer:identify', (e) => resolve(e.detail)))
  const conn = await node.dial(multiaddr(addr))
  if (test === 'ping') {
    for (let i = 1; i <= Number(opt.count); i++) {
      console.log(`PING ${i} ${(await node.services.ping.ping(conn.remotePeer)).toFixed(3)} ms`)
    }
  } else if (test === 'identify') {
    const id = await identified
    console.log(JSON.stringify({
      peer: id.peerId.toString(), agent: id.agentVersion, protocols: id.protocols, listen_addrs: id.listenAddrs.map(String)
    }))
  } else if (test === 'perf') {
    console.log(JSON.stringify(await dialPerf(node, conn, Number(opt['bytes-up']), Number(opt['bytes-down']))))
  } else if (test === 'gossip') {
    console.log(JSON.stringify(await dialGossip(node, conn.remotePeer, opt.topic, Number(opt.count))))
  } else {
    throw new Error(`unknown test ${test}`)
  }
  await node.stop()
  process.exit(0)
}

if (positionals[0] === 'dial') {
  setTimeout(() => { console.error('jspeer: timed out'); process.exit(1) }, Number(opt.timeout) * 1000).unref()
}
try {
  await (positionals[0] === 'listen' ? listen() : dial(positionals[1], positionals[2]))
} catch (err) {
  console.error('jspeer:', err.message)
  process.exit(1)
}
