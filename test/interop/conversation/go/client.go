package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	capnp "capnproto.org/go/capnp/v3"
	"capnproto.org/go/capnp/v3/exc"
	"capnproto.org/go/capnp/v3/rpc"
)

const patience = 20 * time.Second

var methods = map[string]capnp.Method{
	"nomethod": {InterfaceID: thingID, MethodID: 99},
	"stranger": {InterfaceID: Stranger_TypeID},
	"base":     {InterfaceID: Base_TypeID},
	"left":     {InterfaceID: Left_TypeID},
	"right":    {InterfaceID: Right_TypeID},
	"put":      {InterfaceID: Box_TypeID, MethodID: 0},
	"get":      {InterfaceID: Box_TypeID, MethodID: 1},
	"save":     {InterfaceID: Saver_TypeID},
}

func init() {
	for i, name := range strings.Fields("echo fail keep give call make self mirror later go sequence push seen live " +
		"canceled tail promise settle early size waiting hangup") {
		methods[name] = capnp.Method{InterfaceID: thingID, MethodID: uint16(i)}
	}
}

type question struct {
	ans     *capnp.Answer
	release capnp.ReleaseFunc
	cancel  context.CancelFunc
	value   uint64
}

func (q *question) drop() {
	q.cancel()
	q.release()
}

type step struct {
	verb, rest         string
	args               []string // without the options
	from, to, expected uint64
	isRange, expects   bool
	cap                string
	data               int
	via                uint16
}

func parse(line string) step {
	words := strings.Fields(line)
	s := step{verb: words[0], rest: strings.TrimPrefix(line, words[0]), data: -1}
	number := func(text string) uint64 {
		n, _ := strconv.ParseUint(text, 10, 64)
		return n
	}
	for i := 1; i < len(words); i++ {
		w := words[i]
		key, value, _ := strings.Cut(w, "=")
		switch {
		case w == "=":
			s.expects, s.expected = true, number(words[i+1])
			i++
		case key == "cap":
			s.cap = value
		case key == "data":
			s.data = int(number(value))
		case key == "via":
			s.via = methods[value].MethodID
		case strings.Contains(w, ".."):
			from, to, _ := strings.Cut(w, "..")
			s.isRange, s.from, s.to = true, number(from), number(to)
		default:
			s.args = append(s.args, w)
		}
	}
	return s
}

func (s step) number(i int) uint64 {
	if len(s.args) <= i {
		return 0
	}
	n, _ := strconv.ParseUint(s.args[i], 10, 64)
	return n
}

// text is what follows the word.
func (s step) text(word string) string {
	_, after, _ := strings.Cut(s.rest, word)
	return strings.TrimSpace(after)
}

type conversation struct {
	net       net.Conn
	conn      *rpc.Conn
	caps      map[string]capnp.Client
	questions map[string]*question
	lists     map[string][]*question
	resolvers map[string]capnp.Resolver[Thing]
}

func runCase(address string, lines []string, packed bool) error {
	socket, err := net.Dial(network(address))
	if err != nil {
		return err
	}
	c := &conversation{net: socket, caps: map[string]capnp.Client{}, questions: map[string]*question{},
		lists: map[string][]*question{}, resolvers: map[string]capnp.Resolver[Thing]{}}
	c.conn = rpc.NewConn(transport(socket, packed), &rpc.Options{Logger: logger{}, AbortTimeout: 5 * time.Millisecond})
	defer c.conn.Close()
	c.caps["boot"] = c.conn.Bootstrap(context.Background())
	connected := true
	for _, line := range lines {
		s := parse(line)
		switch s.verb {
		case "slow", "hold", "inline", "wire", "before", "not":
			continue
		case "end":
			connected = false
			continue
		}
		if err := c.step(s); err != nil {
			return fmt.Errorf("%s: %w", line, err)
		}
	}
	if err := c.finish(connected); err != nil {
		return fmt.Errorf("end of the conversation: %w", err)
	}
	return nil
}

// finish is what every conversation ends with: nothing is left, on either side.
func (c *conversation) finish(connected bool) error {
	for _, list := range c.lists {
		for _, q := range list {
			q.drop()
		}
	}
	for _, q := range c.questions {
		q.drop()
	}
	for name, cap := range c.caps {
		if name != "boot" {
			cap.Release()
		}
	}
	if connected {
		if err := c.step(parse("ask boot keep")); err != nil {
			return err
		}
		if err := c.step(parse("until boot live = 1")); err != nil {
			return err
		}
	}
	c.caps["boot"].Release()
	return c.step(parse("locals 0"))
}

func (c *conversation) send(target string, s step, method string, value uint64) (*question, error) {
	to, found := c.caps[target]
	m, known := methods[method]
	if !found || !known {
		return nil, errors.New("nothing of this name")
	}
	ctx, cancel := context.WithCancel(context.Background())
	q := &question{cancel: cancel, value: value}
	q.ans, q.release = to.SendCall(ctx, capnp.Send{Method: m, ArgsSize: capnp.ObjectSize{DataSize: 16, PointerCount: 2},
		PlaceArgs: func(p capnp.Struct) error {
			note := Note(p)
			note.SetValue(value)
			note.SetVia(s.via)
			if s.data >= 0 {
				if err := note.SetData(pattern(s.data)); err != nil {
					return err
				}
			}
			if s.cap == "" {
				return nil
			}
			return note.SetCap(Thing(c.caps[s.cap].AddRef()))
		}})
	return q, nil
}

func settle(q *question) error {
	if q == nil {
		return errors.New("nothing of this name")
	}
	select {
	case <-q.ans.Done():
		return nil
	case <-time.After(patience):
		return errors.New("nothing in time")
	}
}

func outcome(q *question) (Note, error) {
	if err := settle(q); err != nil {
		return Note{}, err
	}
	s, err := q.ans.Struct()
	return Note(s), err
}

func checkData(note Note, n int) error {
	data, err := note.Data()
	if err == nil && !bytes.Equal(data, pattern(n)) {
		err = fmt.Errorf("other data of %d bytes", len(data))
	}
	return err
}

func check(q *question, s step) error {
	got, err := outcome(q)
	if err != nil {
		return err
	}
	if s.expects && got.Value() != s.expected {
		return fmt.Errorf("answer %d instead of %d", got.Value(), s.expected)
	}
	if s.verb == "ask" && s.args[1] == "size" {
		return checkData(got, int(s.expected))
	}
	if s.verb == "ask" && s.data >= 0 && s.args[1] != "put" {
		return checkData(got, s.data)
	}
	return nil
}

func (c *conversation) ask(s step) error {
	end := time.Now().Add(patience)
	for {
		q, err := c.send(s.args[0], s, s.args[1], s.number(2))
		if err != nil {
			return err
		}
		err = check(q, s)
		_, failed := outcome(q)
		q.drop()
		if err == nil || failed != nil || s.verb != "until" || time.Now().After(end) {
			return err
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func fails(q *question, s step) error {
	kinds := map[exc.Type]string{exc.Failed: "failed", exc.Overloaded: "overloaded", exc.Disconnected: "disconnected",
		exc.Unimplemented: "unimplemented"}
	if err := settle(q); err != nil {
		return err
	}
	_, err := q.ans.Struct()
	if err == nil {
		return errors.New("did not fail")
	}
	if len(s.args) < 2 {
		return nil
	}
	if kinds[exc.TypeOf(err)] != s.args[1] {
		return fmt.Errorf("%v instead of %s: %w", exc.TypeOf(err), s.args[1], err)
	}
	if !strings.Contains(err.Error(), s.text(s.args[1])) {
		return fmt.Errorf("another text: %w", err)
	}
	return nil
}

func (c *conversation) each(s step) error {
	if len(c.lists[s.args[0]]) == 0 {
		return errors.New("nothing of this name")
	}
	for _, q := range c.lists[s.args[0]] {
		if s.verb == "failsall" {
			if err := fails(q, s); err != nil {
				return err
			}
			continue
		}
		got, err := outcome(q)
		if err != nil {
			return err
		}
		if got.Value() != q.value {
			return fmt.Errorf("answer %d instead of %d", got.Value(), q.value)
		}
	}
	return nil
}

func (c *conversation) seen(s step) error {
	var want, have []byte
	for i := 1; i < len(s.args); i++ {
		want = append(want, byte(s.number(i)))
	}
	for v := s.from; s.isRange && v <= s.to; v++ {
		want = append(want, byte(v))
	}
	q, err := c.send(s.args[0], step{data: -1}, "seen", 0)
	if err != nil {
		return err
	}
	defer q.drop()
	got, err := outcome(q)
	if err != nil {
		return err
	}
	data, err := got.Data()
	for _, b := range data {
		if s.verb == "seen" || bytes.IndexByte(want, b) >= 0 {
			have = append(have, b)
		}
	}
	if err == nil && !bytes.Equal(want, have) {
		err = fmt.Errorf("the object saw %v", have)
	}
	return err
}

func (c *conversation) push(target string, value uint64) error {
	return Thing(c.caps[target]).Push(context.Background(), func(n Note) error {
		n.SetValue(value)
		return nil
	})
}

func (c *conversation) stream(s step) error {
	for v := s.from; v <= s.to; v++ {
		if err := c.push(s.args[0], v); err != nil {
			return err
		}
	}
	if s.verb == "pushes" {
		return nil
	}
	return c.caps[s.args[0]].WaitStreaming()
}

func (c *conversation) streamFails(s step) error {
	err := c.push(s.args[0], s.number(1))
	if err == nil {
		err = c.caps[s.args[0]].WaitStreaming()
	}
	if err == nil {
		return errors.New("the stream did not fail")
	}
	if !strings.Contains(err.Error(), s.text(s.args[1])) {
		return fmt.Errorf("another text: %w", err)
	}
	return nil
}

func (c *conversation) same(s step) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	a, b := c.caps[s.args[0]], c.caps[s.args[1]]
	if err := a.Resolve(ctx); err != nil {
		return err
	}
	for !a.IsSame(b) {
		if ctx.Err() != nil {
			return errors.New("different objects")
		}
		time.Sleep(2 * time.Millisecond)
	}
	return nil
}

func (c *conversation) chain(s step) {
	at := c.caps[s.args[1]].AddRef()
	for i := s.number(2); i > 0; i-- {
		made, release := Thing(at).Make(context.Background(), nil)
		next := capnp.Client(made.Cap()).AddRef()
		release()
		at.Release()
		at = next
	}
	c.caps[s.args[0]] = at
}

func (c *conversation) locals(s step) error {
	end := time.Now().Add(patience)
	for live.Load() != int64(s.number(0)) && time.Now().Before(end) {
		time.Sleep(2 * time.Millisecond)
	}
	if n := live.Load(); n != int64(s.number(0)) {
		return fmt.Errorf("%d local objects instead of %d", n, s.number(0))
	}
	return nil
}

func (c *conversation) drop(name string) error {
	if cap, found := c.caps[name]; found {
		cap.Release()
		delete(c.caps, name)
	} else if q := c.questions[name]; q != nil {
		q.drop()
		delete(c.questions, name)
	} else {
		return errors.New("nothing of this name")
	}
	return nil
}

func (c *conversation) step(s step) (err error) {
	a := s.args
	switch s.verb {
	case "ask", "until":
		return c.ask(s)
	case "send":
		c.questions[a[0]], err = c.send(a[1], s, a[2], s.number(3))
		return err
	case "calls":
		for v := s.from; v <= s.to; v++ {
			q, err := c.send(a[1], s, a[2], v)
			if err != nil {
				return err
			}
			c.lists[a[0]] = append(c.lists[a[0]], q)
		}
	case "waits", "failsall":
		return c.each(s)
	case "wait":
		return check(c.questions[a[0]], s)
	case "fails":
		return fails(c.questions[a[0]], s)
	case "pending":
		select {
		case <-c.questions[a[0]].ans.Done():
			return errors.New("has its outcome already")
		default:
		}
	case "null":
		got, err := outcome(c.questions[a[0]])
		if err == nil && got.Cap().IsValid() {
			err = errors.New("a capability where none should be")
		}
		return err
	case "pipe":
		c.caps[a[0]] = c.questions[a[1]].ans.Field(1, nil).Client().AddRef()
	case "take":
		got, err := outcome(c.questions[a[1]])
		if err == nil && !got.Cap().IsValid() {
			err = errors.New("no capability in the results")
		}
		c.caps[a[0]] = capnp.Client(got.Cap()).AddRef()
		return err
	case "chain":
		c.chain(s)
	case "bootstrap":
		c.caps[a[0]] = c.conn.Bootstrap(context.Background())
	case "new":
		c.caps[a[0]] = capnp.Client(newThing(c.net))
	case "promise":
		p, r := capnp.NewLocalPromise[Thing]()
		c.caps[a[0]], c.resolvers[a[0]] = capnp.Client(p), r
	case "resolve":
		c.resolvers[a[0]].Fulfill(Thing(c.caps[a[1]].AddRef()))
	case "reject":
		c.resolvers[a[0]].Reject(errors.New("asked to reject"))
	case "abandon":
		c.resolvers[a[0]].Reject(errors.New("given up"))
		return c.drop(a[0])
	case "drop":
		return c.drop(a[0])
	case "same":
		return c.same(s)
	case "locals":
		return c.locals(s)
	case "seen", "inorder":
		return c.seen(s)
	case "stream", "pushes":
		return c.stream(s)
	case "streamfails":
		return c.streamFails(s)
	case "disconnect":
		return c.net.Close()
	default:
		return errors.New("unknown step")
	}
	return nil
}
