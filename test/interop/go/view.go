package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"capnproto.org/go/capnp/v3"
	"capnproto.org/go/capnp/v3/flowcontrol"
	"capnproto.org/go/capnp/v3/rpc"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/record"

	"wetware.invalid/interop/api"
)

type view struct{ node *node }

// selects says whether a record is meant. Like the original, it matches by prefix whatever the flag says.
func selects(sel api.View_Selector, e entry) (bool, error) {
	if sel.Which() != api.View_Selector_Which_match {
		return true, nil
	}
	ix, err := sel.Match()
	if err != nil {
		return false, err
	}
	switch ix.Which() {
	case api.View_Index_Which_peer:
		p, err := ix.Peer()
		return strings.HasPrefix(e.peer.String(), p), err
	case api.View_Index_Which_server:
		s, err := ix.Server()
		return strings.HasPrefix(fmt.Sprintf("%016x", e.server), string(s)), err
	case api.View_Index_Which_host:
		h, err := ix.Host()
		return strings.HasPrefix(e.host, h), err
	case api.View_Index_Which_meta:
		m, err := ix.Meta()
		for _, field := range e.meta {
			if strings.HasPrefix(field, m) {
				return true, err
			}
		}
		return false, err
	}
	return false, fmt.Errorf("invalid selector")
}

func fill(rec api.View_Record, e entry) error {
	if err := rec.SetPeer(string(e.peer)); err != nil {
		return err
	}
	rec.SetSeq(e.seq)
	hb, err := rec.NewHeartbeat()
	if err != nil {
		return err
	}
	hb.SetTtl(uint32(e.ttl / time.Millisecond))
	hb.SetServer(e.server)
	if err := hb.SetHost(e.host); err != nil {
		return err
	}
	meta, err := hb.NewMeta(int32(len(e.meta)))
	if err != nil {
		return err
	}
	for i, m := range e.meta {
		if err := meta.Set(i, m); err != nil {
			return err
		}
	}
	return nil
}

func (v *view) Lookup(_ context.Context, call api.View_lookup) error {
	sel, err := call.Args().Selector()
	if err != nil {
		return err
	}
	results, err := call.AllocResults()
	if err != nil {
		return err
	}
	for _, e := range v.node.table.list() {
		if ok, err := selects(sel, e); err != nil || !ok {
			if err != nil {
				return err
			}
			continue
		}
		maybe, err := results.NewResult()
		if err != nil {
			return err
		}
		rec, err := maybe.NewJust()
		if err != nil {
			return err
		}
		return fill(rec, e)
	}
	return nil
}

func (v *view) Iter(ctx context.Context, call api.View_iter) error {
	sel, err := call.Args().Selector()
	if err != nil {
		return err
	}
	handler := call.Args().Handler()
	for _, e := range v.node.table.list() {
		ok, err := selects(sel, e)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		e := e
		err = handler.Recv(ctx, func(ps api.View_Handler_recv_Params) error {
			rec, err := ps.NewRecord()
			if err != nil {
				return err
			}
			return fill(rec, e)
		})
		if err != nil {
			return err
		}
	}
	call.Go()
	return handler.WaitStreaming()
}

func (v *view) Reverse(context.Context, api.View_reverse) error { return errors.New("NOT IMPLEMENTED") }

type signer struct{ host host.Host }

func (s signer) Sign(_ context.Context, call api.Signer_sign) error {
	challenge, err := call.Args().Challenge()
	if err != nil {
		return err
	}
	var n nonce
	if err := n.UnmarshalRecord(challenge); err != nil {
		return err
	}
	envelope, err := record.Seal(&n, s.host.Peerstore().PrivKey(s.host.ID()))
	if err != nil {
		return err
	}
	data, err := envelope.Marshal()
	if err != nil {
		return err
	}
	results, err := call.AllocResults()
	if err != nil {
		return err
	}
	return results.SetSigned(data)
}

// handler takes records one at a time; the end of the stream is the release of the capability.
type handler struct {
	records chan string
	delay   time.Duration
}

func (h *handler) Recv(_ context.Context, call api.View_Handler_recv) error {
	rec, err := call.Args().Record()
	if err != nil {
		return err
	}
	hb, err := rec.Heartbeat()
	if err != nil {
		return err
	}
	time.Sleep(h.delay)
	name, err := hb.Host()
	if err != nil {
		return err
	}
	h.records <- fmt.Sprintf("/%016x %s", hb.Server(), name)
	return nil
}

func (h *handler) Shutdown() { close(h.records) }

func setIndex(sel api.View_Selector, kind, value string) error {
	ix, err := sel.NewMatch()
	if err != nil {
		return err
	}
	switch kind {
	case "peer":
		return ix.SetPeer(value)
	case "server":
		return ix.SetServer([]byte(value))
	case "host":
		return ix.SetHost(value)
	default:
		return ix.SetMeta(kind + "=" + value)
	}
}

// login connects, opens an RPC stream and logs in.
func login(ctx context.Context, h host.Host, addr, ns string, plain bool) (api.Session, error) {
	infos, err := addrInfos([]string{addr})
	if err != nil {
		return api.Session{}, err
	}
	if err := h.Connect(ctx, infos[0]); err != nil {
		return api.Session{}, err
	}
	ids := []protocol.ID{protocol.ID(root(ns) + "/packed"), protocol.ID(root(ns))}
	if plain {
		ids = ids[1:]
	}
	s, err := h.NewStream(network.WithNoDial(ctx, "connected"), infos[0].ID, ids...)
	if err != nil {
		return api.Session{}, err
	}
	me := api.Signer_ServerToClient(signer{h})
	conn := rpc.NewConn(newTransport(s, strings.HasSuffix(string(s.Protocol()), "/packed")), &rpc.Options{
		BootstrapClient: capnp.Client(me.AddRef()), Logger: logger()})
	terminal := api.Terminal(conn.Bootstrap(ctx))
	f, _ := terminal.Login(ctx, func(ps api.Terminal_login_Params) error { return ps.SetAccount(me) })
	res, err := f.Struct()
	if err != nil {
		return api.Session{}, err
	}
	return res.Session()
}

func runLs(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("ls", flag.ExitOnError)
	ns := fs.String("ns", "ww", "namespace")
	addr := fs.String("peer", "", "multiaddr")
	match := fs.String("match", "", "key=value")
	delay := fs.Duration("delay", 0, "how long to think about each record")
	plain := fs.Bool("plain", false, "unpacked framing")
	quiet := fs.Bool("quiet", false, "print only the count and the time")
	fs.Parse(args)
	h, err := newHost(nil, -1)
	if err != nil {
		return err
	}
	defer h.Close()
	session, err := login(ctx, h, *addr, *ns, *plain)
	if err != nil {
		return err
	}
	start := time.Now()
	hd := &handler{records: make(chan string, 16), delay: *delay}
	client := api.View_Handler_ServerToClient(hd)
	capnp.Client(client).SetFlowLimiter(flowcontrol.NewFixedLimiter(1 << 20))
	f, release := session.View().Iter(ctx, func(ps api.View_iter_Params) error {
		sel, err := ps.NewSelector()
		if err != nil {
			return err
		}
		if kind, value, ok := strings.Cut(*match, "="); ok {
			if err := setIndex(sel, kind, value); err != nil {
				return err
			}
		}
		if _, err := ps.NewConstraints(0); err != nil {
			return err
		}
		return ps.SetHandler(client)
	})
	defer release()
	count := 0
	for rec := range hd.records {
		count++
		if !*quiet {
			fmt.Println(rec)
		}
	}
	if _, err := f.Struct(); err != nil {
		return err
	}
	if *quiet {
		fmt.Printf("{\"records\":%d,\"seconds\":%f}\n", count, time.Since(start).Seconds())
	}
	return nil
}
