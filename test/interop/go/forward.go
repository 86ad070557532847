package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
)

// runForward is one of three processes in a row: publisher, forwarder, subscriber, all on one topic with signed messages.
// The publisher keeps `window` messages in flight by the subscriber's acknowledgements on a second topic.
func runForward(ctx context.Context, args []string) error {
	var peers list
	fs := flag.NewFlagSet("forward", flag.ExitOnError)
	role := fs.String("role", "forward", "publish, forward or subscribe")
	count := fs.Int("count", 20000, "messages")
	size := fs.Int("size", 256, "bytes a message")
	window := fs.Int("window", 256, "messages in flight")
	addr := fs.String("addr", "/ip4/127.0.0.1/tcp/0", "multiaddr")
	id := fs.String("gossip-protocol", "/meshsub/1.1.0", "gossip protocol id")
	fs.Var(&peers, "peer", "multiaddr")
	fs.Parse(args)
	h, err := newHost([]string{*addr}, -1)
	if err != nil {
		return err
	}
	defer h.Close()
	ps, err := standardPubSub(ctx, h, *id)
	if err != nil {
		return err
	}
	data, err := ps.Join("data")
	if err != nil {
		return err
	}
	acks, err := ps.Join("acks")
	if err != nil {
		return err
	}
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
	switch *role {
	case "publish":
		return publishAll(ctx, h.ID(), data, acks, *count, *size, *window)
	case "subscribe":
		return subscribeAll(ctx, data, acks)
	}
	for _, t := range []*pubsub.Topic{data, acks} {
		cancel, err := t.Relay()
		if err != nil {
			return err
		}
		defer cancel()
	}
	before := cpuSeconds()
	<-ctx.Done()
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"cpu_s": cpuSeconds() - before})
}

// subscribeAll acknowledges every 32nd message, and each one from the flush on.
func subscribeAll(ctx context.Context, data, acks *pubsub.Topic) error {
	sub, err := data.Subscribe(pubsub.WithBufferSize(4096))
	if err != nil {
		return err
	}
	relay, err := acks.Relay()
	if err != nil {
		return err
	}
	defer relay()
	got, last := uint64(0), false
	for {
		m, err := sub.Next(ctx)
		if err != nil {
			return nil
		}
		got++
		last = last || m.Data[0] == 1 // the last one may overtake others
		if got%32 == 0 || last {
			acks.Publish(ctx, binary.BigEndian.AppendUint64(nil, got))
		}
	}
}

func publishAll(ctx context.Context, self peer.ID, data, acks *pubsub.Topic, count, size, window int) error {
	sub, err := acks.Subscribe(pubsub.WithBufferSize(1024))
	if err != nil {
		return err
	}
	relay, err := data.Relay()
	if err != nil {
		return err
	}
	defer relay()
	time.Sleep(3 * time.Second) // two router heartbeats: the meshes are made
	start, before, acked := time.Now(), cpuSeconds(), 0
	for sent := 0; acked < count; {
		for sent < count && sent-acked < window {
			msg := make([]byte, size)
			binary.BigEndian.PutUint64(msg[8:], uint64(sent))
			if sent == count-1 {
				msg[0] = 1
			}
			if err := data.Publish(ctx, msg); err != nil {
				return err
			}
			sent++
		}
		m, err := sub.Next(ctx)
		if err != nil {
			return err
		}
		// Validated in parallel: acknowledgements may overtake each other.
		acked = max(acked, int(binary.BigEndian.Uint64(m.Data)))
	}
	s := time.Since(start).Seconds()
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"messages": count, "per_s": float64(count) / s,
		"cpu_us": (cpuSeconds() - before) * 1e6 / float64(count)})
}
