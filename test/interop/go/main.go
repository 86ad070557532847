// Command gopeer is a libp2p and Cap'n Proto peer made of other people's libraries, with the protocol ids and schemas
// of a Wetware cluster. Tests and benchmarks run it against ours.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

var commands = map[string]func(ctx context.Context, args []string) error{
	"node":    runNode,    // a cluster member that heartbeats, keeps a table and serves a view
	"ls":      runLs,      // a client of a view
	"listen":  runListen,  // a plain libp2p peer: ping, identify, perf, echo, gossip
	"dial":    runDial,    // the other side of it
	"memdb":   runMemdb,   // the routing table on go-memdb, timed
	"forward": runForward, // gossip publisher, forwarder or subscriber, timed
}

func main() {
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: gopeer node|ls|listen|dial|memdb|forward [options]")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := commands[os.Args[1]](ctx, os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "gopeer:", err)
		os.Exit(1)
	}
}

// list is a flag that may be repeated.
type list []string

func (l *list) String() string     { return fmt.Sprint(*l) }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }
