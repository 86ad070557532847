package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
)

const perfID, echoID = protocol.ID("/perf/1.0.0"), protocol.ID("/echo/1.0.0")

// servePerf drains the upload, then sends as many bytes as the first eight asked for.
func servePerf(s network.Stream) {
	defer s.Close()
	var want uint64
	if binary.Read(s, binary.BigEndian, &want) != nil {
		s.Reset()
		return
	}
	buf := make([]byte, 64<<10)
	if _, err := io.CopyBuffer(io.Discard, onlyReader{s}, buf); err != nil {
		s.Reset()
		return
	}
	if send(s, want, buf) != nil {
		s.Reset()
	}
}

// onlyReader hides WriteTo and the like, so that the buffer is used.
type onlyReader struct{ io.Reader }

func send(w io.Writer, n uint64, buf []byte) error {
	for n > 0 {
		part := buf
		if uint64(len(part)) > n {
			part = part[:n]
		}
		if _, err := w.Write(part); err != nil {
			return err
		}
		n -= uint64(len(part))
	}
	return nil
}

func serveEcho(s network.Stream) {
	defer s.Close()
	io.CopyBuffer(s, onlyReader{s}, make([]byte, 4096))
}

func standardPubSub(ctx context.Context, h host.Host, id string) (*pubsub.PubSub, error) {
	// The queues of a Wetware node; the library's own (32) drop messages of a burst.
	options := []pubsub.Option{pubsub.WithPeerOutboundQueueSize(1024), pubsub.WithValidateQueueSize(1024)}
	if id != "" {
		options = append(options, pubsub.WithGossipSubProtocols([]protocol.ID{protocol.ID(id)},
			func(pubsub.GossipSubFeature, protocol.ID) bool { return true }))
	}
	return pubsub.NewGossipSub(ctx, h, options...)
}

func runListen(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("listen", flag.ExitOnError)
	addr := fs.String("addr", "/ip4/127.0.0.1/tcp/0", "multiaddr")
	seed := fs.Int64("seed", -1, "identity")
	topic := fs.String("topic", "", "relay and echo this gossip topic")
	gossipID := fs.String("gossip-protocol", "", "gossip protocol id")
	fs.Parse(args)
	h, err := newHost([]string{*addr}, *seed)
	if err != nil {
		return err
	}
	defer h.Close()
	h.SetStreamHandler(perfID, servePerf)
	h.SetStreamHandler(echoID, serveEcho)
	if *topic != "" {
		ps, err := standardPubSub(ctx, h, *gossipID)
		if err != nil {
			return err
		}
		t, err := ps.Join(*topic)
		if err != nil {
			return err
		}
		sub, err := t.Subscribe()
		if err != nil {
			return err
		}
		go echoMessages(ctx, h.ID(), t, sub)
	}
	for _, a := range h.Addrs() {
		fmt.Printf("LISTEN %s/p2p/%s\n", a, h.ID())
	}
	<-ctx.Done()
	return nil
}

// echoMessages publishes "re:" and the payload for each message of somebody else.
func echoMessages(ctx context.Context, self peer.ID, t *pubsub.Topic, sub *pubsub.Subscription) {
	for {
		m, err := sub.Next(ctx)
		if err != nil {
			return
		}
		if m.GetFrom() != self && !strings.HasPrefix(string(m.Data), "re:") {
			t.Publish(ctx, append([]byte("re:"), m.Data...))
		}
	}
}

func runDial(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("dial", flag.ExitOnError)
	seed := fs.Int64("seed", -1, "identity")
	up := fs.Uint64("bytes-up", 0, "perf: bytes to send")
	down := fs.Uint64("bytes-down", 0, "perf: bytes to receive")
	count := fs.Int("count", 3, "pings, echoes, connections or messages")
	topic := fs.String("topic", "t", "gossip topic")
	gossipID := fs.String("gossip-protocol", "", "gossip protocol id")
	if len(args) < 2 {
		return errors.New("usage: gopeer dial ADDR ping|identify|perf|echo|conns|gossip|gossip-echo [options]")
	}
	fs.Parse(args[2:])
	info, err := peer.AddrInfoFromString(args[0])
	if err != nil {
		return err
	}
	if args[1] == "conns" {
		return dialConns(ctx, *info, *count)
	}
	h, err := newHost(nil, *seed)
	if err != nil {
		return err
	}
	defer h.Close()
	switch args[1] {
	case "gossip":
		return dialGossip(ctx, h, *info, *topic, *gossipID, *count)
	case "gossip-echo":
		return dialGossipEcho(ctx, h, *info, *topic, *gossipID)
	}
	if err := h.Connect(ctx, *info); err != nil {
		return err
	}
	switch args[1] {
	case "ping":
		return dialPing(ctx, h, info.ID, *count)
	case "identify":
		return dialIdentify(h, info.ID)
	case "perf":
		return dialPerf(ctx, h, info.ID, *up, *down)
	case "echo":
		return dialEcho(ctx, h, info.ID, *count)
	}
	return fmt.Errorf("unknown test %q", args[1])
}

func dialPing(ctx context.Context, h host.Host, p peer.ID, count int) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	results := ping.Ping(ctx, h, p)
	for i := 1; i <= count; i++ {
		res := <-results
		if res.Error != nil {
			return res.Error
		}
		fmt.Printf("PING %d %.3f ms\n", i, float64(res.RTT.Microseconds())/1000)
	}
	return nil
}

func dialIdentify(h host.Host, p peer.ID) error {
	agent, err := h.Peerstore().Get(p, "AgentVersion")
	if err != nil {
		return err
	}
	protocols, err := h.Peerstore().GetProtocols(p)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"peer": p.String(), "agent": agent, "protocols": protocols, "listen_addrs": h.Peerstore().Addrs(p)})
}

func dialPerf(ctx context.Context, h host.Host, p peer.ID, up, down uint64) error {
	s, err := h.NewStream(ctx, p, perfID)
	if err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	start := time.Now()
	if err := binary.Write(s, binary.BigEndian, down); err != nil {
		return err
	}
	if err := send(s, up, buf); err != nil {
		return err
	}
	if err := s.CloseWrite(); err != nil {
		return err
	}
	// The first byte back, or the end, says that the upload was read to its end.
	first := make([]byte, 1)
	n, err := s.Read(first)
	if err != nil && err != io.EOF {
		return err
	}
	middle := time.Now()
	rest, err := io.CopyBuffer(io.Discard, onlyReader{s}, buf)
	if err != nil {
		return err
	}
	if got := uint64(rest) + uint64(n); got != down {
		return fmt.Errorf("got %d bytes instead of %d", got, down)
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"bytes_up": up, "bytes_down": down,
		"up_s": middle.Sub(start).Seconds(), "down_s": time.Since(middle).Seconds(), "cpu_s": cpuSeconds()})
}

func cpuSeconds() float64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

func dialEcho(ctx context.Context, h host.Host, p peer.ID, count int) error {
	s, err := h.NewStream(ctx, p, echoID)
	if err != nil {
		return err
	}
	buf := make([]byte, 1)
	start := time.Now()
	for i := 0; i < count; i++ {
		if _, err := s.Write(buf); err != nil {
			return err
		}
		if _, err := io.ReadFull(s, buf); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"count": count,
		"us": float64(time.Since(start).Microseconds()) / float64(count), "cpu_s": cpuSeconds()})
}

// dialConns opens and closes connections one after another, without waiting for identify.
func dialConns(ctx context.Context, info peer.AddrInfo, count int) error {
	h, err := newHost(nil, -1)
	if err != nil {
		return err
	}
	defer h.Close()
	h.Peerstore().AddAddrs(info.ID, info.Addrs, time.Hour)
	before, start := cpuSeconds(), time.Now()
	for i := 0; i < count; i++ {
		c, err := h.Network().DialPeer(ctx, info.ID)
		if err != nil {
			return err
		}
		c.Close()
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"count": count,
		"per_s": float64(count) / time.Since(start).Seconds(), "cpu_us": (cpuSeconds() - before) * 1e6 / float64(count)})
}

// dialGossipEcho joins the topic through the peer and echoes what others publish until it is stopped.
func dialGossipEcho(ctx context.Context, h host.Host, info peer.AddrInfo, topic, id string) error {
	ps, err := standardPubSub(ctx, h, id)
	if err != nil {
		return err
	}
	t, err := ps.Join(topic)
	if err != nil {
		return err
	}
	sub, err := t.Subscribe()
	if err != nil {
		return err
	}
	if err := h.Connect(ctx, info); err != nil {
		return err
	}
	fmt.Println("READY")
	echoMessages(ctx, h.ID(), t, sub)
	return nil
}

// dialGossip publishes and expects an echo of every message from somebody else.
func dialGossip(ctx context.Context, h host.Host, info peer.AddrInfo, topic, id string, count int) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	ps, err := standardPubSub(ctx, h, id)
	if err != nil {
		return err
	}
	t, err := ps.Join(topic)
	if err != nil {
		return err
	}
	sub, err := t.Subscribe()
	if err != nil {
		return err
	}
	if err := h.Connect(ctx, info); err != nil {
		return err
	}
	for len(ps.ListPeers(topic)) == 0 {
		select {
		case <-ctx.Done():
			return errors.New("the other side did not join the topic")
		case <-time.After(20 * time.Millisecond):
		}
	}
	// Go publishes to mesh peers only; the mesh is made at the router's heartbeat.
	time.Sleep(1200 * time.Millisecond)
	for i := 0; i < count; i++ {
		if err := t.Publish(ctx, []byte(fmt.Sprintf("m%d", i))); err != nil {
			return err
		}
	}
	received := map[string]int{}
	for len(received) < count {
		m, err := sub.Next(ctx)
		if err != nil {
			return fmt.Errorf("got %d of %d echoes: %w", len(received), count, err)
		}
		if m.GetFrom() != h.ID() && strings.HasPrefix(string(m.Data), "re:") {
			received[string(m.Data)]++
		}
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"published": count, "received": len(received)})
}
