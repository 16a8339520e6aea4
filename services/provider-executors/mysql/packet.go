package mysql

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
)

// packet is one packet of the client/server protocol: three bytes of length, a sequence number, a payload.
type packet []byte

const (
	headerSize = 4
	maxPacket  = 1 << 20 // of a login; real ones have some hundred bytes

	protocolV10 = 10
	answerOK    = 0x00
	answerError = 0xff

	capSSL = 0x0800
	// sslRequestSize is the part of a client's answer that is sent before the encryption begins.
	sslRequestSize = 32
)

var errProtocol = errors.New("the server does not speak the protocol of MySQL")

func readPacket(r io.Reader) (packet, error) {
	p := make(packet, headerSize)
	if _, err := io.ReadFull(r, p); err != nil {
		return nil, err
	}
	n := int(p[0]) | int(p[1])<<8 | int(p[2])<<16
	if n == 0 || n > maxPacket {
		return nil, errProtocol
	}
	p = append(p, make([]byte, n)...)
	_, err := io.ReadFull(r, p[headerSize:])
	return p, err
}

func (p packet) payload() []byte { return p[headerSize:] }

func (p packet) write(w io.Writer) error {
	_, err := w.Write(p)
	return err
}

// afterVersion is where the greeting goes on behind the server's version.
func (p packet) afterVersion() []byte {
	body := p.payload()
	if body[0] != protocolV10 {
		return nil
	}
	end := bytes.IndexByte(body, 0)
	if end < 0 || len(body) < end+1+4+8+1+2 {
		return nil
	}
	return body[end+1:]
}

// session is the number of the session that a greeting opens.
func (p packet) session() (uint64, bool) {
	rest := p.afterVersion()
	if rest == nil {
		return 0, false
	}
	return uint64(binary.LittleEndian.Uint32(rest)), true
}

// capabilities are the lower two bytes of what the server can, in place.
func (p packet) capabilities() []byte {
	rest := p.afterVersion()
	if rest == nil {
		return nil
	}
	return rest[4+8+1:]
}

var errNoTLS = errors.New("the server offers no TLS")

// upgrade puts TLS between the relay and the server. The child, who came by a private socket, is not told
// that there is any: it sees a greeting without the capability, and the sequence numbers of the login,
// which has one packet more on the server's side, are shifted by forwardAnswers and forwardCommands.
// Nil without an error: the server refused in its greeting, and the child knows.
func upgrade(ctx context.Context, child, srv net.Conn, greeting packet, c *tls.Config) (net.Conn, error) {
	can := greeting.capabilities()
	if can == nil {
		return nil, greeting.write(child)
	}
	if binary.LittleEndian.Uint16(can)&capSSL == 0 {
		return nil, errNoTLS
	}
	binary.LittleEndian.PutUint16(can, binary.LittleEndian.Uint16(can)&^capSSL)
	if err := greeting.write(child); err != nil {
		return nil, err
	}
	answer, err := readPacket(child)
	if err != nil || len(answer.payload()) < sslRequestSize {
		return nil, errors.Join(errProtocol, err)
	}
	binary.LittleEndian.PutUint32(answer.payload(), binary.LittleEndian.Uint32(answer.payload())|capSSL)
	request := append(packet{sslRequestSize, 0, 0, answer[3]}, answer.payload()[:sslRequestSize]...)
	if err := request.write(srv); err != nil {
		return nil, err
	}
	secured := tls.Client(srv, c)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	answer[3]++
	return secured, answer.write(secured)
}

// forwardAnswers shifts the packets of the login back, which ends with OK or an error.
func forwardAnswers(child, srv net.Conn) {
	for {
		p, err := readPacket(srv)
		if err != nil {
			return
		}
		p[3]--
		if err := p.write(child); err != nil {
			return
		}
		if first := p.payload()[0]; first == answerOK || first == answerError {
			forward(child, srv)
			return
		}
	}
}

// forwardCommands shifts the packets of the login on. A command begins with number 0, which none of them has.
func forwardCommands(srv, child net.Conn) {
	header := make([]byte, headerSize)
	for {
		if _, err := io.ReadFull(child, header); err != nil {
			return
		}
		if header[3] == 0 {
			if _, err := srv.Write(header); err == nil {
				forward(srv, child)
			}
			return
		}
		header[3]++
		if _, err := srv.Write(header); err != nil {
			return
		}
		n := int64(header[0]) | int64(header[1])<<8 | int64(header[2])<<16
		if _, err := io.CopyN(srv, child, n); err != nil {
			return
		}
	}
}
