// Package vectors records complete sessions between two wireguard-go devices.
//
// Nothing of wireguard-go is changed or replaced. Its inputs are: the network and the TUNs are
// in memory, the clock is that of testing/synctest, and crypto/rand.Reader is a seeded generator whose every
// draw is written down. So two runs give the same file, byte for byte.
//
//	go test .            records the sessions and compares them with ../wireguard-go.json
//	go test . -update    writes that file
package vectors

import (
	"bytes"
	cryptorand "crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"reflect"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"golang.org/x/crypto/curve25519"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
)

const (
	modulePath = "golang.zx2c4.com/wireguard"
	vectorFile = "../wireguard-go.json"
	mtu        = 1420
)

var update = flag.Bool("update", false, "write "+vectorFile)

// -- What is written ----------------------------------------------------------------------------

type vectors struct {
	Implementation string     `json:"implementation"`
	Version        string     `json:"version"`
	Sessions       []*session `json:"sessions"`
}

type session struct {
	Name         string          `json:"name"`
	PresharedKey string          `json:"preshared_key"` // zeros: none
	Ends         map[string]keys `json:"ends"`
	Transcript   []*event        `json:"transcript"`
}

type keys struct {
	PrivateKey string `json:"private_key"`
	PublicKey  string `json:"public_key"`
	Endpoint   string `json:"endpoint"`
}

// An event is what one end was given at a time, and all that it did because of it. With neither
// packet nor datagram it was given nothing but the time.
type event struct {
	End       string   `json:"end"`
	Time      int64    `json:"time"`               // nanoseconds since 1970
	Packet    string   `json:"packet,omitempty"`   // from its TUN
	Datagram  string   `json:"datagram,omitempty"` // from the other end
	UnderLoad bool     `json:"under_load,omitempty"`
	Random    []string `json:"random,omitempty"`    // drawn, in this order
	Datagrams []string `json:"datagrams,omitempty"` // sent to the other end
	Packets   []string `json:"packets,omitempty"`   // written to its TUN
}

// -- The world of a device ----------------------------------------------------------------------

// A recorder is crypto/rand.Reader: a generator seeded by a name, which keeps what was drawn.
type recorder struct {
	mu     sync.Mutex
	source *rand.ChaCha8
	draws  []string
}

func newRecorder(name string) *recorder {
	return &recorder{source: rand.NewChaCha8(sha256.Sum256([]byte(name)))}
}

func (r *recorder) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.source.Read(p)
	r.draws = append(r.draws, hex.EncodeToString(p))
	return len(p), nil
}

func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	draws := r.draws
	r.draws = nil
	return draws
}

// An outbox collects what a device sends, or writes to its TUN.
type outbox struct {
	mu    sync.Mutex
	items []string
}

func (o *outbox) put(p []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.items = append(o.items, hex.EncodeToString(p))
}

func (o *outbox) take() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	items := o.items
	o.items = nil
	return items
}

type endpoint netip.AddrPort

func (endpoint) ClearSrc()             {}
func (endpoint) SrcToString() string   { return "" }
func (endpoint) SrcIP() netip.Addr     { return netip.Addr{} }
func (e endpoint) DstToString() string { return netip.AddrPort(e).String() }
func (e endpoint) DstIP() netip.Addr   { return netip.AddrPort(e).Addr() }

// DstToBytes is the address, then the port in network order, as the kernel's cookie has it.
func (e endpoint) DstToBytes() []byte {
	port := netip.AddrPort(e).Port()
	return append(e.DstIP().AsSlice(), byte(port>>8), byte(port))
}

// A bind is the network as one device sees it: everything comes from, and goes to, the other end.
type bind struct {
	peer   endpoint
	in     chan []byte
	out    outbox
	closed chan struct{}
}

func (b *bind) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	b.closed = make(chan struct{})
	closed := b.closed
	receive := func(packets [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
		select {
		case <-closed:
			return 0, net.ErrClosed
		case datagram := <-b.in:
			sizes[0] = copy(packets[0], datagram)
			eps[0] = b.peer
			return 1, nil
		}
	}
	return []conn.ReceiveFunc{receive}, port, nil
}

func (b *bind) Close() error {
	if b.closed != nil {
		close(b.closed)
		b.closed = nil
	}
	return nil
}

func (b *bind) Send(datagrams [][]byte, to conn.Endpoint) error {
	if to != conn.Endpoint(b.peer) {
		return fmt.Errorf("datagram to %s, where nobody is", to.DstToString())
	}
	for _, datagram := range datagrams {
		b.out.put(datagram)
	}
	return nil
}

func (b *bind) ParseEndpoint(s string) (conn.Endpoint, error) {
	address, err := netip.ParseAddrPort(s)
	return endpoint(address), err
}

func (b *bind) SetMark(uint32) error { return nil }
func (b *bind) BatchSize() int       { return 1 }

type tunnel struct {
	in     chan []byte
	out    outbox
	events chan tun.Event
	closed chan struct{}
}

func (t *tunnel) Read(packets [][]byte, sizes []int, offset int) (int, error) {
	select {
	case <-t.closed:
		return 0, os.ErrClosed
	case packet := <-t.in:
		sizes[0] = copy(packets[0][offset:], packet)
		return 1, nil
	}
}

func (t *tunnel) Write(packets [][]byte, offset int) (int, error) {
	for _, packet := range packets {
		t.out.put(packet[offset:])
	}
	return len(packets), nil
}

func (t *tunnel) Close() error {
	close(t.closed)
	close(t.events)
	return nil
}

func (t *tunnel) File() *os.File           { return nil }
func (t *tunnel) MTU() (int, error)        { return mtu, nil }
func (t *tunnel) Name() (string, error)    { return "memory", nil }
func (t *tunnel) Events() <-chan tun.Event { return t.events }
func (t *tunnel) BatchSize() int           { return 1 }

// -- A session ----------------------------------------------------------------------------------

type end struct {
	name   string
	keys   keys
	device *device.Device
	bind   *bind
	tun    *tunnel
}

// A pair is two devices and the only hand that carries datagrams between them.
type pair struct {
	t           *testing.T
	random      *recorder
	record      *session
	left, right *end
}

type plan struct {
	name         string
	presharedKey bool
	ipv6         bool
	begin        time.Time
	play         func(*pair)
}

func newPair(t *testing.T, p plan) *pair {
	random := newRecorder(p.name)
	cryptorand.Reader = random
	left, right := "192.0.2.1:51820", "198.51.100.2:443"
	if p.ipv6 {
		left, right = "[2001:db8::1]:51820", "[2001:db8:ff::2]:443"
	}
	psk := make([]byte, 32)
	if p.presharedKey {
		random.Read(psk)
	}
	a := newEnd(random, "left", left, right)
	b := newEnd(random, "right", right, left)
	connect(t, a, b.keys, psk, right)
	connect(t, b, a.keys, psk, "")
	synctest.Wait()
	random.take()
	return &pair{t: t, random: random, left: a, right: b, record: &session{
		Name:         p.name,
		PresharedKey: hex.EncodeToString(psk),
		Ends:         map[string]keys{"left": a.keys, "right": b.keys},
	}}
}

func newEnd(random *recorder, name, own, other string) *end {
	private := make([]byte, 32)
	random.Read(private)
	private[0] &= 248
	private[31] = private[31]&127 | 64
	public, err := curve25519.X25519(private, curve25519.Basepoint)
	if err != nil {
		panic(err)
	}
	b := &bind{peer: endpoint(netip.MustParseAddrPort(other)), in: make(chan []byte)}
	u := &tunnel{in: make(chan []byte), events: make(chan tun.Event), closed: make(chan struct{})}
	return &end{
		name: name,
		keys: keys{hex.EncodeToString(private), hex.EncodeToString(public), own},
		bind: b,
		tun:  u,
		device: device.NewDevice(u, b, &device.Logger{
			Verbosef: device.DiscardLogf,
			Errorf:   func(format string, args ...any) { panic(fmt.Sprintf(format, args...)) },
		}),
	}
}

func connect(t *testing.T, e *end, peer keys, psk []byte, at string) {
	lines := []string{
		"private_key=" + e.keys.PrivateKey,
		"public_key=" + peer.PublicKey,
		"preshared_key=" + hex.EncodeToString(psk),
		"allowed_ip=0.0.0.0/0",
		"allowed_ip=::/0",
	}
	if at != "" {
		lines = append(lines, "endpoint="+at)
	}
	if err := e.device.IpcSet(strings.Join(lines, "\n") + "\n"); err != nil {
		t.Fatal(err)
	}
	if err := e.device.Up(); err != nil {
		t.Fatal(err)
	}
}

func (p *pair) close() {
	p.left.device.Close()
	p.right.device.Close()
}

func (p *pair) other(e *end) *end {
	if e == p.left {
		return p.right
	}
	return p.left
}

// settle writes down what e did since the last call, and requires that the other end did nothing.
func (p *pair) settle(e *end, given event) []string {
	given.End, given.Time = e.name, time.Now().UnixNano()
	synctest.Wait()
	given.Random = p.random.take()
	given.Datagrams = e.bind.out.take()
	given.Packets = e.tun.out.take()
	p.record.Transcript = append(p.record.Transcript, &given)
	if idle := p.other(e); len(idle.bind.out.take())+len(idle.tun.out.take()) != 0 {
		p.t.Fatalf("%s: %s acted unasked", p.record.Name, idle.name)
	}
	return given.Datagrams
}

// send gives e a packet from its TUN. Want is how many datagrams it must send.
func (p *pair) send(e *end, packet []byte, want int) []string {
	e.tun.in <- packet
	return p.expect(want, p.settle(e, event{Packet: hex.EncodeToString(packet)}))
}

// deliver carries datagrams to e, which must send as many as want for each.
func (p *pair) deliver(e *end, datagrams []string, want int) []string {
	return p.carry(e, datagrams, want, false)
}

// deliverUnderLoad is deliver to an end whose queue of handshakes is long.
func (p *pair) deliverUnderLoad(e *end, datagrams []string, want int) []string {
	setUnderLoad(e.device)
	return p.carry(e, datagrams, want, true)
}

func (p *pair) carry(e *end, datagrams []string, want int, underLoad bool) []string {
	var sent []string
	for _, datagram := range datagrams {
		raw, err := hex.DecodeString(datagram)
		if err != nil {
			p.t.Fatal(err)
		}
		e.bind.in <- raw
		sent = append(sent, p.expect(want, p.settle(e, event{Datagram: datagram, UnderLoad: underLoad}))...)
	}
	return sent
}

// wait lets time pass, in which e must send as many datagrams as want; nothing is written if none.
func (p *pair) wait(e *end, length time.Duration, want int) []string {
	time.Sleep(length)
	if want == 0 {
		synctest.Wait()
		return nil
	}
	return p.expect(want, p.settle(e, event{}))
}

func (p *pair) expect(want int, datagrams []string) []string {
	if len(datagrams) != want {
		p.t.Fatalf("%s, event %d: %d datagrams, not %d",
			p.record.Name, len(p.record.Transcript), len(datagrams), want)
	}
	return datagrams
}

// setUnderLoad makes a device take itself to be under load for a second. Its own way there is 128 handshake
// messages waiting at the same moment, which no test can bring about at a certain one.
func setUnderLoad(d *device.Device) {
	field := reflect.ValueOf(d).Elem().FieldByName("rate").FieldByName("underLoadUntil")
	until := (*atomic.Int64)(unsafe.Pointer(field.UnsafeAddr()))
	until.Store(time.Now().Add(time.Second).UnixNano())
}

// -- Packets ------------------------------------------------------------------------------------

// ipv4 is a packet from 10.0.0.1 to 10.0.0.2 of the given size, of an experimental protocol.
func ipv4(size int) []byte {
	packet := make([]byte, size)
	copy(packet, []byte{0x45, 0, byte(size >> 8), byte(size), 0, 0, 0, 0, 64, 253, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2})
	sum := uint32(0)
	for i := 0; i < 20; i += 2 {
		sum += uint32(packet[i])<<8 | uint32(packet[i+1])
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	packet[10], packet[11] = ^byte(sum>>8), ^byte(sum)
	return fill(packet, 20)
}

// ipv6 is a packet from fd00::1 to fd00::2 of the given size, of an experimental protocol.
func ipv6(size int) []byte {
	packet := make([]byte, size)
	copy(packet, []byte{0x60, 0, 0, 0, byte((size - 40) >> 8), byte(size - 40), 253, 64})
	packet[8], packet[23], packet[24], packet[39] = 0xfd, 1, 0xfd, 2
	return fill(packet, 40)
}

func fill(packet []byte, from int) []byte {
	for i := from; i < len(packet); i++ {
		packet[i] = byte(i)
	}
	return packet
}

// -- The sessions -------------------------------------------------------------------------------

// handshakeAndData is a first packet, which needs a handshake, its answer, and the keepalive after it.
func handshakeAndData(first, answer []byte) func(*pair) {
	return func(p *pair) {
		initiation := p.send(p.left, first, 1)
		response := p.deliver(p.right, initiation, 1)
		data := p.deliver(p.left, response, 1)
		p.deliver(p.right, data, 0)
		p.deliver(p.left, p.send(p.right, answer, 1), 0)
		keepalive := p.wait(p.left, 10*time.Second, 1)
		p.deliver(p.right, keepalive, 0)
	}
}

// twiceAgain is a rekey by the initiator, then a handshake the other way round.
func twiceAgain(p *pair) {
	handshakeAndData(ipv4(60), ipv4(61))(p)
	p.wait(p.left, 111*time.Second, 0)
	both := p.send(p.left, ipv4(62), 2) // data by the old key, and an initiation as it is old
	response := p.deliver(p.right, both[:1], 0)
	response = append(response, p.deliver(p.right, both[1:], 1)...)
	p.deliver(p.right, p.deliver(p.left, response, 1), 0)
	p.deliver(p.left, p.send(p.right, ipv4(63), 1), 0)
	p.deliver(p.right, p.wait(p.left, 10*time.Second, 1), 0)
	p.wait(p.left, 181*time.Second, 0)
	initiation := p.send(p.right, ipv4(64), 1)
	data := p.deliver(p.right, p.deliver(p.left, initiation, 1), 1)
	p.deliver(p.left, data, 0)
	p.deliver(p.right, p.send(p.left, ipv4(65), 1), 0)
}

// cookieForInitiator is a responder under load: only the initiation with its cookie is answered.
func cookieForInitiator(p *pair) {
	cookie := p.deliverUnderLoad(p.right, p.send(p.left, ipv4(84), 1), 1)
	p.deliver(p.left, cookie, 0)
	p.wait(p.left, 5*time.Second, 0)
	response := p.deliverUnderLoad(p.right, p.send(p.left, ipv4(85), 1), 1)
	data := p.deliver(p.left, response, 2)
	p.deliver(p.right, data, 0)
	p.deliver(p.left, p.send(p.right, ipv4(86), 1), 0)
}

// cookieForBoth is load at both ends: the response needs a cookie as well.
func cookieForBoth(p *pair) {
	cookie := p.deliverUnderLoad(p.right, p.send(p.left, ipv4(84), 1), 1)
	p.deliver(p.left, cookie, 0)
	p.wait(p.left, 5*time.Second, 0)
	response := p.deliverUnderLoad(p.right, p.send(p.left, ipv4(85), 1), 1)
	cookie = p.deliverUnderLoad(p.left, response, 1)
	p.deliver(p.right, cookie, 0)
	p.wait(p.left, 5*time.Second, 0)
	response = p.deliverUnderLoad(p.right, p.send(p.left, ipv4(86), 1), 1)
	data := p.deliverUnderLoad(p.left, response, 3)
	p.deliver(p.right, data, 0)
	p.deliver(p.left, p.send(p.right, ipv4(87), 1), 0)
}

var plans = []plan{
	{"no preshared key", false, false, date(2026, 1), handshakeAndData(ipv4(84), ipv4(100))},
	{"preshared key", true, false, date(2026, 2), handshakeAndData(ipv4(84), ipv4(100))},
	{"IPv6 and packets of the MTU", true, true, date(2026, 3), handshakeAndData(ipv6(mtu), ipv6(mtu))},
	{"packets that need no padding", false, true, date(2026, 4), handshakeAndData(ipv6(48), ipv6(1408))},
	{"after 2038", true, false, date(2040, 1), handshakeAndData(ipv4(20), ipv4(21))},
	{"two more handshakes", true, false, date(2026, 5), twiceAgain},
	{"responder under load", true, false, date(2026, 6), cookieForInitiator},
	{"responder under load, IPv6, no preshared key", false, true, date(2026, 7), cookieForInitiator},
	{"both under load", true, false, date(2026, 8), cookieForBoth},
}

// date is a moment in a month whose nanoseconds are no round number.
func date(year int, month time.Month) time.Time {
	return time.Date(year, month, 3, 4, 5, 6, 70_809_101*int(month), time.UTC)
}

func init() {
	for i := range 8 {
		plans = append(plans, plan{
			fmt.Sprintf("more keys %d", i+1), i%2 == 0, false, date(2027, time.Month(i+1)),
			handshakeAndData(ipv4(40+i), ipv4(30+i)),
		})
	}
}

func TestVectors(t *testing.T) {
	// Queues of wireguard-go have finalizers, which may not run outside the bubble that made the queue.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	reader := cryptorand.Reader
	defer func() { cryptorand.Reader = reader }()

	found := vectors{Implementation: modulePath, Version: version(t)}
	for _, plan := range plans {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Until(plan.begin))
			p := newPair(t, plan)
			defer p.close()
			plan.play(p)
			found.Sessions = append(found.Sessions, p.record)
		})
	}

	text, err := json.MarshalIndent(found, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, '\n')
	if *update {
		if err := os.WriteFile(vectorFile, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if kept, err := os.ReadFile(vectorFile); err != nil || !bytes.Equal(kept, text) {
		t.Fatalf("%s is not what was recorded now (%v): see -update", vectorFile, err)
	}
}

// version is the one that go.mod asks for.
func version(t *testing.T) string {
	text, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] == modulePath {
			return fields[1]
		}
	}
	t.Fatal("go.mod does not name " + modulePath)
	return ""
}
