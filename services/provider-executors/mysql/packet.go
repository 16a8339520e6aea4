package mysql

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
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

	// answerMore is a step of the login; with fullLogin, caching_sha2_password asks for the password itself.
	answerMore = 0x01
	fullLogin  = 0x04
	// answerSwitch asks for another way to log in, by the name of its plugin.
	answerSwitch = 0xfe

	capSSL             = 0x0800
	capQueryAttributes = 0x0800 // in the upper two bytes
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

// hideTLS takes from a greeting that the server can do TLS, and tells whether it can. The child's way to the relay is
// private, and mariadb-backup of 11.4 and newer would begin TLS on it, whatever its options say.
func (p packet) hideTLS() (offered bool) {
	can := p.capabilities()
	if can == nil {
		return false
	}
	lower := binary.LittleEndian.Uint16(can)
	binary.LittleEndian.PutUint16(can, lower&^capSSL)
	return lower&capSSL != 0
}

// hideQueryAttributes takes from a greeting that the server knows attributes of queries (MySQL). A client that uses them
// puts two bytes in front of each query, and ask, which speaks in its session, would have to do so as well.
func (p packet) hideQueryAttributes() {
	if can := p.capabilities(); len(can) >= 7 { // character set and status are in between
		clearQueryAttributes(can[5:])
	}
}

// readAnswer reads the client's answer to a greeting, which says that it knows attributes of queries all the same.
// Too short an answer is one to a greeting of something else.
func readAnswer(child io.Reader) (packet, error) {
	answer, err := readPacket(child)
	if err != nil {
		return nil, err
	}
	if len(answer.payload()) < sslRequestSize {
		return nil, errProtocol
	}
	clearQueryAttributes(answer.payload()[2:])
	return answer, nil
}

func clearQueryAttributes(upper []byte) {
	binary.LittleEndian.PutUint16(upper, binary.LittleEndian.Uint16(upper)&^capQueryAttributes)
}

// hiding are the ways to log in whose first answer does not tell the password. By sha256_password the child, who sees no
// TLS, asks for the server's key.
var hiding = []string{"mysql_native_password", "client_ed25519", "parsec", "caching_sha2_password", "sha256_password"}

// asksForPassword tells that the answer may be the password as it is: the server does not know the account's well enough
// to do without it, or asks for a way to log in that is not known to hide it.
func (p packet) asksForPassword() bool {
	body := p.payload()
	if body[0] == answerSwitch {
		plugin, _, _ := bytes.Cut(body[1:], []byte{0}) // none: that of MySQL 4.0
		return !slices.Contains(hiding, string(plugin))
	}
	return bytes.Equal(body, []byte{answerMore, fullLogin})
}
