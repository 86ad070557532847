// The commands of ../peer.c on go-capnp: one conversation with a vault.
package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	capnp "capnproto.org/go/capnp/v3"
	"capnproto.org/go/capnp/v3/exc"
	"capnproto.org/go/capnp/v3/rpc"
	"capnproto.org/go/capnp/v3/std/capnp/persistent"
)

func data(seg *capnp.Segment, bytes []byte) (capnp.Ptr, error) {
	d, err := capnp.NewData(seg, bytes)
	return d.ToPtr(), err
}

func add(ctx context.Context, counter Counter, n string) error {
	value, err := strconv.ParseUint(n, 10, 64)
	if err != nil {
		return err
	}
	future, release := counter.Add(ctx, func(p Counter_add_Params) error {
		p.SetN(value)
		return nil
	})
	defer release()
	result, err := future.Struct()
	if err == nil {
		fmt.Printf("sum %d\n", result.Sum())
	}
	return err
}

func save(ctx context.Context, counter Counter, owner string) error {
	future, release := persistent.Persistent(counter).Save(ctx, func(p persistent.Persistent_SaveParams) error {
		if owner == "" {
			return nil
		}
		seal, err := data(p.Segment(), []byte(owner))
		if err != nil {
			return err
		}
		return p.SetSealFor(seal)
	})
	defer release()
	result, err := future.Struct()
	if err != nil {
		return err
	}
	ref, err := result.SturdyRef()
	if err == nil {
		fmt.Printf("ref %x\n", ref.Data())
	}
	return err
}

func restore(ctx context.Context, restorer Restorer, ref []byte, n string) error {
	future, release := restorer.Restore(ctx, func(p Restorer_restore_Params) error {
		ptr, err := data(p.Segment(), ref)
		if err != nil {
			return err
		}
		return p.SetRef(ptr)
	})
	defer release()
	result, err := future.Struct()
	if err != nil {
		return err
	}
	return add(ctx, Counter(result.Cap()), n)
}

func revoke(ctx context.Context, restorer Restorer, ref []byte) error {
	future, release := restorer.Revoke(ctx, func(p Restorer_revoke_Params) error {
		ptr, err := data(p.Segment(), ref)
		if err != nil {
			return err
		}
		return p.SetRef(ptr)
	})
	defer release()
	_, err := future.Struct()
	if err == nil {
		fmt.Println("revoked")
	}
	return err
}

func ask(ctx context.Context, vault Vault, args []string) error {
	command, who := args[0], args[1]
	if who == "-" {
		who = ""
	}
	if command == "add" || command == "save" {
		future, release := vault.Counter(ctx, func(p Vault_counter_Params) error { return p.SetName(who) })
		defer release()
		if command == "add" && len(args) == 3 {
			return add(ctx, future.Counter(), args[2])
		}
		return save(ctx, future.Counter(), strings.Join(args[2:], ""))
	}
	if len(args) < 3 {
		return errors.New("too few words")
	}
	ref, err := hex.DecodeString(args[2])
	if err != nil {
		return err
	}
	future, release := vault.Login(ctx, func(p Vault_login_Params) error { return p.SetName(who) })
	defer release()
	if command == "restore" && len(args) == 4 {
		return restore(ctx, future.Restorer(), ref, args[3])
	}
	if command == "revoke" {
		return revoke(ctx, future.Restorer(), ref)
	}
	return errors.New("no such command")
}

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: peer unix:PATH COMMAND ...")
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	socket, err := net.Dial("unix", strings.TrimPrefix(os.Args[1], "unix:"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	conn := rpc.NewConn(rpc.NewStreamTransport(socket), nil)
	defer conn.Close()
	vault := Vault(conn.Bootstrap(ctx))
	defer vault.Release()
	if err := ask(ctx, vault, os.Args[2:]); err != nil {
		fmt.Printf("refused %s: %s\n", strings.ToLower(exc.TypeOf(err).String()), err)
	}
}
