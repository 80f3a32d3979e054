package api

import (
	"fmt"
	"net"
	"time"
)

// frames writes a stream as text/event-stream. It keeps no memory while nothing is to be written.
type frames struct {
	connection net.Conn
	buf        *[]byte // nil: empty
}

const (
	// framesFull is the size at which frames are written though more may follow at once.
	framesFull = 16 << 10
	// Clients that obey the retry of a stream come back within this time, not all at once.
	minRetry    = time.Second
	retrySpread = 4 * time.Second
)

func (f *frames) append(format string, args ...any) {
	if f.buf == nil {
		f.buf = pageBuffers.Get().(*[]byte)
		*f.buf = (*f.buf)[:0]
	}
	*f.buf = fmt.Appendf(*f.buf, format, args...)
}

// begin gives the head of the response, and the position, from which a client that has got nothing else can continue. There is a body at
// once: some proxies send the headers with the first bytes of it.
func (f *frames) begin(head string, p *position) {
	f.append("%s: live feed\nretry: %d\nid: %s\n\n", head, (minRetry + randomUpTo(retrySpread)).Milliseconds(), p)
}

// event has no line break in its data: it is JSON as [json.Marshal] writes it.
func (f *frames) event(name string, p *position, data []byte) {
	f.append("id: %s\nevent: %s\ndata: %s\n\n", p, name, data)
}

// reset says that the stream cannot continue where the client was.
func (f *frames) reset(p *position) { f.event("reset", p, []byte("{}")) }

func (f *frames) comment() { f.append(": alive\n\n") }

func (f *frames) full() bool { return f.buf != nil && len(*f.buf) >= framesFull }

// flush sends what there is. It fails if the reader does not take it in time.
func (f *frames) flush() error {
	if f.buf == nil {
		return nil
	}
	defer func() { pageBuffers.Put(f.buf); f.buf = nil }()
	if err := f.connection.SetWriteDeadline(time.Now().Add(streamWriteTimeout)); err != nil {
		return err
	}
	_, err := f.connection.Write(*f.buf)
	return err
}
