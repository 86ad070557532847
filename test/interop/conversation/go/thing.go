package main

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"

	capnp "capnproto.org/go/capnp/v3"
	"capnproto.org/go/capnp/v3/exc"
)

var live atomic.Int64

const thingID = 0xfeedfacecafe0001

func pattern(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i*7 + 1)
	}
	return data
}

// gone is what a waiting call is told at the next go.
type gone struct {
	value uint64
	cap   Thing // a reference for each who is told
}

// thing is Thing of conversation.capnp. Its calls come one after the other, except for what runs behind Call.Go.
type thing struct {
	conn net.Conn // the connection that it was made for

	mu         sync.Mutex
	kept       capnp.Client
	promise    Thing // held longer than its resolver, because what it was resolved to goes with it: until the next keep
	resolver   capnp.Resolver[Thing]
	waiters    map[chan gone]bool
	self       capnp.WeakClient
	remembered []byte
	boxed      []byte
	next       uint64
	canceled   uint64
}

func newThing(conn net.Conn) Thing {
	t := &thing{conn: conn, waiters: map[chan gone]bool{}}
	live.Add(1)
	c := Thing_ServerToClient(t)
	t.self = capnp.Client(c).WeakRef()
	return c
}

func (t *thing) Shutdown() {
	live.Add(-1)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept.Release()
	t.promise.Release()
}

type call interface {
	Args() Note
	AllocResults() (Note, error)
}

func answer(c call, value uint64) error {
	res, err := c.AllocResults()
	if err == nil {
		res.SetValue(value)
	}
	return err
}

// answerCap takes the reference.
func answerCap(c call, cap Thing) error {
	res, err := c.AllocResults()
	if err != nil {
		return err
	}
	return res.SetCap(cap)
}

func (t *thing) Base(ctx context.Context, c Base_base) error { return answer(c, c.Args().Value()+100) }
func (t *thing) Left(ctx context.Context, c Left_left) error { return answer(c, c.Args().Value()+200) }
func (t *thing) Right(ctx context.Context, c Right_right) error {
	return answer(c, c.Args().Value()+300)
}

func (t *thing) Put(ctx context.Context, c Box_put) error {
	p, err := c.Args().Content()
	if err == nil {
		t.boxed = append([]byte(nil), p.Data()...)
	}
	return err
}

func (t *thing) Get(ctx context.Context, c Box_get) error {
	res, err := c.AllocResults()
	if err != nil {
		return err
	}
	d, err := capnp.NewData(res.Segment(), t.boxed)
	if err != nil {
		return err
	}
	return res.SetContent(d.ToPtr())
}

func (t *thing) Save(ctx context.Context, c Saver_save) error {
	seal, err := c.Args().SealFor()
	if err != nil {
		return err
	}
	res, err := c.AllocResults()
	if err != nil {
		return err
	}
	return res.SetSturdyRef(seal)
}

func (t *thing) Echo(ctx context.Context, c Thing_echo) error {
	t.remembered = append(t.remembered, byte(c.Args().Value()))
	res, err := c.AllocResults()
	if err != nil {
		return err
	}
	res.SetValue(c.Args().Value())
	if !c.Args().HasData() {
		return nil
	}
	data, err := c.Args().Data()
	if err != nil {
		return err
	}
	return res.SetData(data)
}

func (t *thing) Fail(ctx context.Context, c Thing_fail) error {
	return exc.New(exc.Type(c.Args().Value()), "", "asked to fail")
}

func (t *thing) Keep(ctx context.Context, c Thing_keep) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept.Release()
	t.kept = capnp.Client(c.Args().Cap()).AddRef()
	if t.resolver == nil {
		t.promise.Release()
		t.promise = Thing{}
	}
	return nil
}

func (t *thing) Give(ctx context.Context, c Thing_give) error {
	return answerCap(c, Thing(t.kept.AddRef()))
}

// relay sends what the parameters say to the kept capability, in order, and waits for the answer beside other calls.
func (t *thing) relay(ctx context.Context, c call, others func()) error {
	if !t.kept.IsValid() {
		return errors.New("nothing kept")
	}
	args := c.Args()
	ans, release := t.kept.SendCall(ctx, capnp.Send{
		Method:   capnp.Method{InterfaceID: thingID, MethodID: args.Via()},
		ArgsSize: capnp.ObjectSize{DataSize: 16, PointerCount: 2},
		PlaceArgs: func(s capnp.Struct) error {
			Note(s).SetValue(args.Value())
			return Note(s).SetCap(args.Cap().AddRef())
		},
	})
	defer release()
	others()
	s, err := ans.Struct()
	if err != nil {
		return err
	}
	got := Note(s)
	res, err := c.AllocResults()
	if err != nil {
		return err
	}
	res.SetValue(got.Value())
	if got.HasData() {
		data, err := got.Data()
		if err != nil {
			return err
		}
		if err := res.SetData(data); err != nil {
			return err
		}
	}
	return res.SetCap(got.Cap().AddRef())
}

func (t *thing) Call(ctx context.Context, c Thing_call) error { return t.relay(ctx, c, c.Go) }
func (t *thing) Tail(ctx context.Context, c Thing_tail) error { return t.relay(ctx, c, c.Go) }

func (t *thing) Make(ctx context.Context, c Thing_make) error { return answerCap(c, newThing(t.conn)) }

func (t *thing) Self(ctx context.Context, c Thing_self) error {
	self, _ := t.self.AddRef()
	return answerCap(c, Thing(self))
}

func (t *thing) Mirror(ctx context.Context, c Thing_mirror) error {
	return answerCap(c, c.Args().Cap().AddRef())
}

// wait waits for the next go, beside other calls.
func (t *thing) wait(ctx context.Context, others func()) (gone, error) {
	w := make(chan gone, 1)
	t.mu.Lock()
	t.waiters[w] = true
	t.mu.Unlock()
	others()
	select {
	case g := <-w:
		return g, nil
	case <-ctx.Done():
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.waiters[w] {
			delete(t.waiters, w)
			t.canceled++
		}
		return gone{}, ctx.Err()
	}
}

func (t *thing) Later(ctx context.Context, c Thing_later) error {
	g, err := t.wait(ctx, c.Go)
	if err != nil {
		return err
	}
	res, err := c.AllocResults()
	if err != nil {
		return err
	}
	res.SetValue(g.value)
	return res.SetCap(g.cap)
}

// Early cannot do what its name says: there is no pipeline before the answer here.
func (t *thing) Early(ctx context.Context, c Thing_early) error {
	g, err := t.wait(ctx, c.Go)
	if err != nil {
		return err
	}
	g.cap.Release()
	return answerCap(c, newThing(t.conn))
}

func (t *thing) Go(ctx context.Context, c Thing_go) error {
	t.mu.Lock()
	for w := range t.waiters {
		w <- gone{c.Args().Value(), c.Args().Cap().AddRef()}
	}
	t.waiters = map[chan gone]bool{}
	t.mu.Unlock()
	return answer(c, c.Args().Value())
}

func (t *thing) Sequence(ctx context.Context, c Thing_sequence) error {
	t.next++
	return answer(c, t.next-1)
}

func (t *thing) Push(ctx context.Context, c Thing_push) error {
	if c.Args().Value() == 666 {
		return errors.New("asked to fail")
	}
	t.remembered = append(t.remembered, byte(c.Args().Value()))
	return nil
}

func (t *thing) Seen(ctx context.Context, c Thing_seen) error {
	res, err := c.AllocResults()
	if err != nil {
		return err
	}
	res.SetValue(uint64(len(t.remembered)))
	return res.SetData(t.remembered)
}

func (t *thing) Live(ctx context.Context, c Thing_live) error { return answer(c, uint64(live.Load())) }

func (t *thing) Canceled(ctx context.Context, c Thing_canceled) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return answer(c, t.canceled)
}

func (t *thing) Promise(ctx context.Context, c Thing_promise) error {
	t.promise, t.resolver = capnp.NewLocalPromise[Thing]()
	return answerCap(c, t.promise.AddRef())
}

func (t *thing) Settle(ctx context.Context, c Thing_settle) error {
	if t.resolver == nil {
		return errors.New("no promise")
	}
	if c.Args().Value() == 1 {
		t.resolver.Reject(errors.New("asked to reject"))
	} else {
		t.resolver.Fulfill(c.Args().Cap().AddRef())
	}
	t.resolver = nil
	return nil
}

func (t *thing) Size(ctx context.Context, c Thing_size) error {
	res, err := c.AllocResults()
	if err != nil {
		return err
	}
	res.SetValue(c.Args().Value())
	return res.SetData(pattern(int(c.Args().Value())))
}

func (t *thing) Waiting(ctx context.Context, c Thing_waiting) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return answer(c, uint64(len(t.waiters)))
}

func (t *thing) Hangup(ctx context.Context, c Thing_hangup) error {
	return t.conn.Close()
}
