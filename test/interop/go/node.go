package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"sort"
	"strings"
	"sync"
	"time"

	"capnproto.org/go/capnp/v3"
	"capnproto.org/go/capnp/v3/rpc"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/record"

	"wetware.invalid/interop/api"
)

const version = "0.1.0"

func root(ns string) string { return "ww/" + version + "/" + ns }

// entry is what a node remembers of a peer.
type entry struct {
	peer     peer.ID
	seq      uint64
	server   uint64
	ttl      time.Duration
	host     string
	meta     []string
	deadline time.Time
}

type table struct {
	mu      sync.Mutex
	entries map[peer.ID]entry
}

func (t *table) upsert(e entry) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	old, ok := t.entries[e.peer]
	if ok && time.Now().Before(old.deadline) && old.seq >= e.seq {
		return false
	}
	if !ok {
		fmt.Printf("JOIN %016x %s\n", e.server, e.peer)
	}
	t.entries[e.peer] = e
	return true
}

func (t *table) sweep() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, e := range t.entries {
		if time.Now().After(e.deadline) {
			fmt.Printf("LEAVE %016x %s\n", e.server, e.peer)
			delete(t.entries, id)
		}
	}
}

// list returns the live entries in the order of the id index: base58 text.
func (t *table) list() []entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	var es []entry
	for _, e := range t.entries {
		es = append(es, e)
	}
	sort.Slice(es, func(i, j int) bool { return es[i].peer.String() < es[j].peer.String() })
	return es
}

type node struct {
	host   host.Host
	ns     string
	server uint64
	ttl    time.Duration
	meta   []string
	table  table
}

func newPubSub(ctx context.Context, h host.Host, ns string) (*pubsub.PubSub, error) {
	id := protocol.ID(root(ns) + "/meshsub/1.1.0")
	matches := func(p protocol.ID) bool {
		parts := strings.Split(strings.TrimLeft(string(p), "/"), "/")
		return len(parts) >= 5 && parts[0] == "ww" && strings.HasPrefix(parts[1], "0.") && parts[2] == ns &&
			parts[3] == "meshsub" && strings.HasPrefix(parts[4], "1.")
	}
	return pubsub.NewGossipSub(ctx, h,
		pubsub.WithGossipSubProtocols([]protocol.ID{id}, func(f pubsub.GossipSubFeature, p protocol.ID) bool {
			return matches(p)
		}),
		pubsub.WithProtocolMatchFn(func(local protocol.ID) func(protocol.ID) bool { return matches }),
		pubsub.WithPeerExchange(true),
		pubsub.WithPeerOutboundQueueSize(1024),
		pubsub.WithValidateQueueSize(1024))
}

func (n *node) heartbeat() ([]byte, error) {
	msg, seg, err := capnp.NewMessage(capnp.SingleSegment(nil))
	if err != nil {
		return nil, err
	}
	hb, err := api.NewRootHeartbeat(seg)
	if err != nil {
		return nil, err
	}
	hb.SetTtl(uint32(n.ttl / time.Millisecond))
	hb.SetServer(n.server)
	name, _ := os.Hostname()
	if err := hb.SetHost(name); err != nil {
		return nil, err
	}
	meta, err := hb.NewMeta(int32(len(n.meta)))
	if err != nil {
		return nil, err
	}
	for i, m := range n.meta {
		if err := meta.Set(i, m); err != nil {
			return nil, err
		}
	}
	return msg.MarshalPacked()
}

func (n *node) validate(_ context.Context, _ peer.ID, m *pubsub.Message) pubsub.ValidationResult {
	msg, err := capnp.UnmarshalPacked(m.Data)
	if err != nil || len(m.Seqno) != 8 {
		return pubsub.ValidationReject
	}
	hb, err := api.ReadRootHeartbeat(msg)
	if err != nil {
		return pubsub.ValidationReject
	}
	e := entry{peer: m.GetFrom(), seq: binary.BigEndian.Uint64(m.Seqno), server: hb.Server(),
		ttl: time.Duration(hb.Ttl()) * time.Millisecond}
	if e.ttl == 0 {
		e.ttl = 10 * time.Second
	}
	if e.host, err = hb.Host(); err != nil {
		return pubsub.ValidationReject
	}
	list, err := hb.Meta()
	if err != nil {
		return pubsub.ValidationReject
	}
	for i := 0; i < list.Len(); i++ {
		s, err := list.At(i)
		if err != nil {
			return pubsub.ValidationReject
		}
		e.meta = append(e.meta, strings.Clone(s))
	}
	e.host = strings.Clone(e.host)
	e.deadline = time.Now().Add(e.ttl)
	if !n.table.upsert(e) {
		return pubsub.ValidationIgnore
	}
	return pubsub.ValidationAccept
}

func runNode(ctx context.Context, args []string) error {
	var listen, peers, meta list
	fs := flag.NewFlagSet("node", flag.ExitOnError)
	ns := fs.String("ns", "ww", "namespace")
	ttl := fs.Duration("ttl", 10*time.Second, "time to live")
	seed := fs.Int64("seed", -1, "identity")
	fs.Var(&listen, "listen", "multiaddr")
	fs.Var(&peers, "peer", "multiaddr of a node to join")
	fs.Var(&meta, "meta", "key=value")
	fs.Parse(args)
	if len(listen) == 0 {
		listen = list{"/ip4/127.0.0.1/tcp/0"}
	}
	h, err := newHost(listen, *seed)
	if err != nil {
		return err
	}
	defer h.Close()
	var id [8]byte
	rand.Read(id[:])
	n := &node{host: h, ns: *ns, server: binary.BigEndian.Uint64(id[:]), ttl: *ttl, meta: meta,
		table: table{entries: map[peer.ID]entry{}}}
	ps, err := newPubSub(ctx, h, *ns)
	if err != nil {
		return err
	}
	if err := ps.RegisterTopicValidator(*ns, n.validate); err != nil {
		return err
	}
	topic, err := ps.Join(*ns)
	if err != nil {
		return err
	}
	cancel, err := topic.Relay()
	if err != nil {
		return err
	}
	defer cancel()
	n.serve()
	infos, err := addrInfos(peers)
	if err != nil {
		return err
	}
	for _, info := range infos {
		if err := h.Connect(ctx, info); err != nil {
			return err
		}
	}
	for _, a := range h.Addrs() {
		fmt.Printf("LISTEN %s/p2p/%s\n", a, h.ID())
	}
	fmt.Printf("READY %016x\n", n.server)
	return n.beat(ctx, topic)
}

func (n *node) beat(ctx context.Context, topic *pubsub.Topic) error {
	next := time.Now()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		if now := time.Now(); !now.Before(next) {
			data, err := n.heartbeat()
			if err != nil {
				return err
			}
			if err := topic.Publish(ctx, data); err != nil && ctx.Err() == nil {
				return err
			}
			next = now.Add(n.ttl / 3)
		}
		n.table.sweep()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (n *node) serve() {
	for _, packed := range []bool{true, false} {
		packed, id := packed, root(n.ns)
		if packed {
			id += "/packed"
		}
		n.host.SetStreamHandler(protocol.ID(id), func(s network.Stream) {
			conn := rpc.NewConn(newTransport(s, packed), &rpc.Options{
				BootstrapClient: capnp.Client(api.Terminal_ServerToClient(&terminal{n})),
				Logger:          logger(),
			})
			<-conn.Done()
		})
	}
}

// logger tells what the RPC library thinks, when GOPEER_DEBUG is set.
func logger() rpc.Logger {
	if os.Getenv("GOPEER_DEBUG") == "" {
		return nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func newTransport(s network.Stream, packed bool) rpc.Transport {
	if packed {
		return rpc.NewPackedStreamTransport(s)
	}
	return rpc.NewStreamTransport(s)
}

type terminal struct{ node *node }

// Login checks the account's signature over a fresh challenge, then lets everybody in.
func (t *terminal) Login(ctx context.Context, call api.Terminal_login) error {
	var challenge [16]byte
	rand.Read(challenge[:])
	call.Go()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	f, release := call.Args().Account().Sign(ctx, func(ps api.Signer_sign_Params) error {
		return ps.SetChallenge(challenge[:])
	})
	defer release()
	res, err := f.Struct()
	if err != nil {
		return err
	}
	signed, err := res.Signed()
	if err != nil {
		return err
	}
	var payload nonce
	if _, err := record.ConsumeTypedEnvelope(signed, &payload); err != nil {
		return err
	}
	if payload != nonce(challenge) {
		return fmt.Errorf("nonce mismatch")
	}
	results, err := call.AllocResults()
	if err != nil {
		return err
	}
	session, err := results.NewSession()
	if err != nil {
		return err
	}
	session.Local().SetServer(t.node.server)
	session.Local().SetPeer(string(t.node.host.ID()))
	return session.SetView(api.View_ServerToClient(&view{t.node}))
}

// nonce is the payload of the login envelope.
type nonce [16]byte

func (*nonce) Domain() string { return "ww.auth" }
func (*nonce) Codec() []byte  { return []byte{0xde, 0xea} }
func (n *nonce) MarshalRecord() ([]byte, error) {
	return n[:], nil
}
func (n *nonce) UnmarshalRecord(b []byte) error {
	if len(b) != len(n) {
		return fmt.Errorf("invalid nonce size")
	}
	copy(n[:], b)
	return nil
}
