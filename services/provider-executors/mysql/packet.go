package mysql

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

// packet is one packet of the client/server protocol: three bytes of length, a sequence number, a payload.
type packet []byte

const (
	headerSize = 4
	maxPacket  = 1 << 20 // of a login; real ones have some hundred bytes

	protocolV10 = 10
	answerOK    = 0x00
	answerError = 0xff
	comQuery    = 0x03

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
