package pgtest

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Wire is a line to a server that fails on demand. Whoever connects through
// [Wire.URL] speaks to the real server. The wire knows where a request begins and
// where its response ends, and nothing of their content.
type Wire struct {
	listener net.Listener
	network  string
	address  string
	ended    chan struct{} // closed: the test is over
	lines    sync.WaitGroup

	mu     sync.Mutex
	open   map[net.Conn]bool
	armed  []Fault
	struck int
	frozen chan struct{} // nil while the line flows
	age    int           // grows at each cut; connections opened at a lower age get no more replies
}

// Fault says what happens to one request and to its connection.
type Fault struct {
	Skip  int           // requests that pass before it strikes
	Sent  bool          // the server does it, and only its answer is lost
	Quiet time.Duration // for so long nothing happens; then the connection is reset
}

// NewWire makes a line to the server of the database at url, until the test ends.
func NewWire(t testing.TB, url string) *Wire {
	t.Helper()
	to, err := pgconn.ParseConfig(url)
	if err != nil {
		t.Fatalf("pgtest: wire: %v", err)
	}
	w := &Wire{ended: make(chan struct{}), open: map[net.Conn]bool{}}
	w.network, w.address = pgconn.NetworkAddress(to.Host, to.Port)
	if w.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatalf("pgtest: wire: %v", err)
	}
	w.lines.Go(w.accept)
	t.Cleanup(func() {
		close(w.ended)
		w.listener.Close()
		w.Cut()
		w.lines.Wait()
	})
	return w
}

// URL returns the URL of the database at to, through the wire.
func (w *Wire) URL(to string) string {
	u, err := url.Parse(to)
	if err != nil {
		return to // whoever connects will say what is wrong with it
	}
	u.Host = w.listener.Addr().String()
	query := u.Query()
	query.Del("host")
	query.Del("port")
	u.RawQuery = query.Encode()
	return u.String()
}

// Arm lets f strike once, on whichever connection the request comes.
func (w *Wire) Arm(f Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = append(w.armed, f)
}

// Disarm forgets the faults that have not struck.
func (w *Wire) Disarm() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = nil
}

// Struck is how many faults have struck so far.
func (w *Wire) Struck() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.struck
}

// Cut resets every connection there is.
func (w *Wire) Cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for conn := range w.open {
		reset(conn)
	}
}

// Freeze stops everything, in either direction, silently: to its clients the host
// is gone. Thaw lets it flow again.
func (w *Wire) Freeze() (thaw func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	frozen := make(chan struct{})
	w.frozen = frozen
	return sync.OnceFunc(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.frozen = nil
		close(frozen)
	})
}

// Strand stops the connections that there are for good, silently. New ones work,
// as after a router forgot its connections or the server moved.
func (w *Wire) Strand() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.age++
}

// pass waits while the wire is frozen or the line stranded.
func (w *Wire) pass(age int) {
	w.mu.Lock()
	frozen, stranded := w.frozen, age < w.age
	w.mu.Unlock()
	switch {
	case stranded:
		<-w.ended
		return
	case frozen == nil:
		return
	}
	select {
	case <-frozen:
	case <-w.ended:
	}
}

// strike counts a request and returns the fault that is meant for it, or nil.
func (w *Wire) strike() (Fault, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.armed {
		if w.armed[i].Skip > 0 {
			w.armed[i].Skip--
			continue
		}
		f := w.armed[i]
		w.armed = append(w.armed[:i], w.armed[i+1:]...)
		w.struck++
		return f, true
	}
	return Fault{}, false
}

func (w *Wire) accept() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		w.lines.Go(func() { w.carry(client) })
	}
}

func (w *Wire) born() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.age
}

func (w *Wire) hold(conn net.Conn) func() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open[conn] = true
	select {
	case <-w.ended: // too late to be cut with the others
		conn.Close()
	default:
	}
	return func() {
		conn.Close()
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.open, conn)
	}
}

// reset closes conn so that the other end notices at once: by a reset, not by an
// orderly end.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	conn.Close()
}

func (w *Wire) carry(client net.Conn) {
	defer w.hold(client)()
	server, err := net.Dial(w.network, w.address)
	if err != nil {
		reset(client)
		return
	}
	defer w.hold(server)()
	l := &line{wire: w, age: w.born(), client: client, server: server, answered: make(chan struct{})}
	w.lines.Go(l.down)
	l.up()
}

// line is one connection through the wire.
type line struct {
	wire           *Wire
	age            int
	client, server net.Conn

	mu       sync.Mutex
	mute     bool          // what the server says goes nowhere
	answered chan struct{} // closed: the request that nobody is told of has ended
}

// The messages of the protocol that matter here; see "Message Formats" in
// PostgreSQL's documentation.
const (
	query = 'Q' // a request of one message
	syncs = 'S' // the end of a request of several
	ready = 'Z' // the end of an answer
)

// up carries requests to the server, whole ones: a request that a fault is for
// is not begun.
func (l *line) up() {
	defer l.server.Close()
	from := bufio.NewReader(l.client)
	request, err := readMessage(from, 0) // the first message has no kind
	for err == nil {
		if _, err = l.server.Write(request); err != nil {
			break
		}
		request, err = l.request(from)
	}
}

// request reads up to the end of a request, or what cannot wait for it.
func (l *line) request(from *bufio.Reader) ([]byte, error) {
	var request []byte
	for {
		message, err := readMessage(from, 1)
		if err != nil {
			return nil, err
		}
		request = append(request, message...)
		switch message[0] {
		case 'P', 'B', 'D', 'E', 'C': // parts of a request
			continue
		case query, syncs:
			l.wire.pass(l.age)
			if f, ok := l.wire.strike(); ok {
				return nil, l.suffer(f, request)
			}
		}
		return request, nil
	}
}

// suffer applies f to request and ends the line.
func (l *line) suffer(f Fault, request []byte) error {
	if f.Sent {
		l.setMute()
		if _, err := l.server.Write(request); err != nil {
			return err
		}
		select {
		case <-l.answered:
		case <-l.wire.ended:
		}
	}
	quiet := time.NewTimer(f.Quiet)
	defer quiet.Stop()
	select {
	case <-quiet.C:
	case <-l.wire.ended:
	}
	reset(l.client)
	return io.ErrClosedPipe
}

// down carries responses to the client.
func (l *line) down() {
	defer l.client.Close()
	answered := sync.OnceFunc(func() { close(l.answered) })
	defer answered()
	from, to := bufio.NewReader(l.server), bufio.NewWriter(l.client)
	for {
		message, err := readMessage(from, 1)
		if err != nil {
			_ = to.Flush()
			return
		}
		if l.muted() {
			if message[0] == ready {
				answered()
			}
			continue
		}
		l.wire.pass(l.age)
		if _, err := to.Write(message); err != nil {
			return
		}
		if from.Buffered() == 0 {
			if err := to.Flush(); err != nil {
				return
			}
		}
	}
}

func (l *line) setMute() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mute = true
}

func (l *line) muted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mute
}

// readMessage reads one message: a kind of so many bytes, a length that counts
// itself, and the rest.
func readMessage(from *bufio.Reader, kind int) ([]byte, error) {
	head, err := from.Peek(kind + 4)
	if err != nil {
		return nil, err
	}
	length := int(binary.BigEndian.Uint32(head[kind:]))
	if length < 4 {
		return nil, &net.AddrError{Err: "message of length " + strconv.Itoa(length)}
	}
	message := make([]byte, kind+length)
	_, err = io.ReadFull(from, message)
	return message, err
}
