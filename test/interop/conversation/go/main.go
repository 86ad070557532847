// Command peer is the Go side of the conversations: `peer server ADDRESS [--packed]` serves a fresh Thing to each connection,
// `peer client ADDRESS CASES [--packed] NAME...` runs those cases, each on its own connection, and prints "ok NAME" or
// "not ok NAME: why".
package main

import (
	"fmt"
	"net"
	"os"
	"strings"

	capnp "capnproto.org/go/capnp/v3"
	"capnproto.org/go/capnp/v3/rpc"
)

// logger tells the errors of a connection to whoever looks for them after a failure.
type logger struct{}

func (logger) Debug(string, ...any)     {}
func (logger) Info(string, ...any)      {}
func (logger) Warn(m string, a ...any)  { fmt.Fprintln(os.Stderr, "warning:", m, a) }
func (logger) Error(m string, a ...any) { fmt.Fprintln(os.Stderr, "error:", m, a) }

func transport(conn net.Conn, packed bool) rpc.Transport {
	if packed {
		return rpc.NewPackedStreamTransport(conn)
	}
	return rpc.NewStreamTransport(conn)
}

func network(address string) (string, string) {
	if rest, ok := strings.CutPrefix(address, "unix:"); ok {
		return "unix", rest
	}
	return "tcp", strings.TrimPrefix(address, "tcp:")
}

func serve(address string, packed bool) error {
	kind, at := network(address)
	if kind == "tcp" {
		at = "127.0.0.1:0"
	}
	listener, err := net.Listen(kind, at)
	if err != nil {
		return err
	}
	fmt.Printf("LISTEN %s:%s\n", kind, listener.Addr())
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			c := rpc.NewConn(transport(conn, packed), &rpc.Options{
				BootstrapClient: capnp.Client(newThing(conn)), Logger: logger{}})
			<-c.Done()
			c.Close()
		}()
	}
}

// readCases gives the steps of each case.
func readCases(path string) (map[string][]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	cases, name := map[string][]string{}, ""
	for _, line := range strings.Split(string(text), "\n") {
		if rest, ok := strings.CutPrefix(line, "case "); ok {
			name = strings.Fields(rest)[0]
			cases[name] = nil
		} else if rest, ok := strings.CutPrefix(line, "    "); ok {
			cases[name] = append(cases[name], rest)
		}
	}
	return cases, nil
}

func runClient(address, path string, names []string, packed bool) error {
	cases, err := readCases(path)
	if err != nil {
		return err
	}
	failed := false
	for _, name := range names {
		if err := runCase(address, cases[name], packed); err != nil {
			fmt.Printf("not ok %s: %s\n", name, strings.ReplaceAll(err.Error(), "\n", " "))
			failed = true
		} else {
			fmt.Printf("ok %s\n", name)
		}
	}
	if failed {
		os.Exit(1)
	}
	return nil
}

func main() {
	var args []string
	packed := false
	for _, a := range os.Args[1:] {
		if a == "--packed" {
			packed = true
		} else {
			args = append(args, a)
		}
	}
	var err error
	switch {
	case len(args) == 2 && args[0] == "server":
		err = serve(args[1], packed)
	case len(args) > 3 && args[0] == "client":
		err = runClient(args[1], args[2], args[3:], packed)
	default:
		fmt.Fprintln(os.Stderr, "usage: peer server|client ADDRESS ...")
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}
