package main

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/hashicorp/go-memdb"
	"github.com/mr-tron/base58"
)

// row is a record as the original table stores it.
type row struct {
	Peer     []byte
	Server   uint64
	Seq      uint64
	Host     string
	Meta     []string
	Deadline int64
}

type indexer struct {
	one  func(r *row) []byte
	many func(r *row) [][]byte
}

// single and multi implement memdb's two indexer interfaces over one function.
type single indexer
type multi indexer

func (i single) FromObject(o any) (bool, []byte, error) {
	b := i.one(o.(*row))
	return len(b) > 0, b, nil
}
func (i multi) FromObject(o any) (bool, [][]byte, error) {
	b := i.many(o.(*row))
	return len(b) > 0, b, nil
}
func (i single) FromArgs(args ...any) ([]byte, error)       { return []byte(args[0].(string)), nil }
func (i multi) FromArgs(args ...any) ([]byte, error)        { return []byte(args[0].(string)), nil }
func (i single) PrefixFromArgs(args ...any) ([]byte, error) { return []byte(args[0].(string)), nil }
func (i multi) PrefixFromArgs(args ...any) ([]byte, error)  { return []byte(args[0].(string)), nil }

func memdbSchema() *memdb.DBSchema {
	ix := func(name string, unique, missing bool, i memdb.Indexer) *memdb.IndexSchema {
		return &memdb.IndexSchema{Name: name, Unique: unique, AllowMissing: missing, Indexer: i}
	}
	return &memdb.DBSchema{Tables: map[string]*memdb.TableSchema{"record": {Name: "record",
		Indexes: map[string]*memdb.IndexSchema{
			"id": ix("id", true, false, single{one: func(r *row) []byte { return []byte(base58.Encode(r.Peer)) }}),
			"server": ix("server", true, false, single{one: func(r *row) []byte {
				var b [8]byte
				binary.BigEndian.PutUint64(b[:], r.Server)
				return []byte(hex.EncodeToString(b[:]))
			}}),
			"ttl": ix("ttl", false, false, single{one: func(r *row) []byte {
				var b [8]byte
				binary.BigEndian.PutUint64(b[:], uint64(r.Deadline))
				return b[:]
			}}),
			"host": ix("host", false, true, single{one: func(r *row) []byte { return []byte(r.Host) }}),
			"meta": ix("meta", false, true, multi{many: func(r *row) [][]byte {
				var out [][]byte
				for _, m := range r.Meta {
					out = append(out, []byte(m))
				}
				return out
			}}),
		}}}}
}

// benchRow makes the i-th record: 38-byte peer id, 25-byte host name, three metadata fields.
func benchRow(i int, seq uint64) *row {
	peer := make([]byte, 38)
	copy(peer, []byte{0x00, 0x24, 0x08, 0x01, 0x12, 0x20})
	x := uint64(i)*0x9e3779b97f4a7c15 + 1
	for k := 6; k < 38; k += 8 {
		x ^= x >> 29
		x *= 0xbf58476d1ce4e5b9
		binary.LittleEndian.PutUint64(peer[k:], x)
	}
	return &row{Peer: peer, Server: x | 1, Seq: seq, Host: fmt.Sprintf("host-%07d.example.test", i),
		Meta:     []string{fmt.Sprintf("zone=eu-%d", i%4), fmt.Sprintf("role=r%d", i%10), fmt.Sprintf("shard=%02d", i%100)},
		Deadline: int64(seq)*1_000_000 + int64(i)}
}

func upsertAll(db *memdb.MemDB, n int, seq uint64) error {
	for i := 0; i < n; i++ {
		r := benchRow(i, seq)
		read := db.Txn(false)
		old, err := read.First("record", "id", base58.Encode(r.Peer))
		if err != nil {
			return err
		}
		if o, ok := old.(*row); ok && o.Seq >= r.Seq {
			continue
		}
		tx := db.Txn(true)
		if err := tx.Insert("record", r); err != nil {
			return err
		}
		tx.Commit()
	}
	return nil
}

func scanAll(db *memdb.MemDB, index, arg string) (int, error) {
	it, err := db.Txn(false).Get("record", index, arg)
	if err != nil {
		return 0, err
	}
	n := 0
	for o := it.Next(); o != nil; o = it.Next() {
		n++
	}
	return n, nil
}

func runMemdb(_ context.Context, args []string) error {
	fs := flag.NewFlagSet("memdb", flag.ExitOnError)
	n := fs.Int("n", 10000, "records")
	fs.Parse(args)
	db, err := memdb.NewMemDB(memdbSchema())
	if err != nil {
		return err
	}
	out := map[string]any{"records": *n}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	timed := func(name string, per int, f func() error) error {
		cpu, start := cpuSeconds(), time.Now()
		if err := f(); err != nil {
			return err
		}
		out[name+"_us"] = time.Since(start).Seconds() * 1e6 / float64(per)
		out[name+"_cpu_us"] = (cpuSeconds() - cpu) * 1e6 / float64(per)
		return nil
	}
	if err := timed("insert", *n, func() error { return upsertAll(db, *n, 1) }); err != nil {
		return err
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	out["bytes_per_record"] = float64(after.HeapAlloc-before.HeapAlloc) / float64(*n)
	if err := timed("update", *n, func() error { return upsertAll(db, *n, 2) }); err != nil {
		return err
	}
	err = timed("lookup", *n, func() error {
		for i := 0; i < *n; i++ {
			it, err := db.Txn(false).Get("record", "id", base58.Encode(benchRow(i*7919%*n, 0).Peer))
			if err != nil || it.Next() == nil {
				return fmt.Errorf("record %d is missing: %v", i, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for name, q := range map[string][3]string{"scan": {"id_prefix", "", ""}, "prefix_scan": {"meta_prefix", "shard=07", ""}} {
		var got int
		start := time.Now()
		if got, err = scanAll(db, q[0], q[1]); err != nil {
			return err
		}
		out[name+"_ns"] = float64(time.Since(start).Nanoseconds()) / float64(got)
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}
