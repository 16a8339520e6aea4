package mysql

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
)

// errChild: the program ended in its login. Whoever waits for it learns why from itself.
var errChild = errors.New("the program broke the connection off")

func ofChild(err error) error {
	if err == nil || errors.Is(err, errProtocol) {
		return err
	}
	return errors.Join(errChild, err)
}

// greet passes the server's greeting on, and the child's answer to it.
func greet(child, srv net.Conn, greeting packet) error {
	if err := greeting.write(child); err != nil || greeting.capabilities() == nil { // nil: a refusal, which the child knows now
		return ofChild(err)
	}
	answer, err := readAnswer(child)
	if err != nil {
		return ofChild(err)
	}
	return answer.write(srv)
}

var errNoTLS = errors.New("the server offers no TLS")

// upgrade puts TLS between the relay and the server. The child, who came by a private socket, is not told
// that there is any: it sees a greeting without the capability, and the sequence numbers of the login,
// which has one packet more on the server's side, are shifted by login and forwardCommands.
// Nil without an error: the server refused in its greeting, and the child knows.
func upgrade(ctx context.Context, child, srv net.Conn, greeting packet, offersTLS bool, c *tls.Config) (net.Conn, error) {
	if greeting.capabilities() == nil {
		return nil, ofChild(greeting.write(child))
	}
	if !offersTLS {
		return nil, errNoTLS
	}
	if err := greeting.write(child); err != nil {
		return nil, ofChild(err)
	}
	answer, err := readAnswer(child)
	if err != nil {
		return nil, ofChild(err)
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

// login carries the server's answers. Those of the login, which ends with OK or an error, are shifted back by
// the packets that the child does not know of; what follows passes as it comes.
type login struct {
	shift byte
	lock  string // taken in the session before the child can ask for anything; empty: none
	bare  bool   // the way to the server is open to listeners
	// keep takes why the login was broken off, while the child's connection is still open.
	keep func(error)
}

// errBare: the child, whose own way is private, would answer with the password as it is.
var errBare = errors.New("the server asks for the password itself, over a connection without TLS")

func (l *login) forward(child, srv net.Conn) {
	for {
		p, err := readPacket(srv)
		if err != nil {
			return
		}
		if l.bare && p.asksForPassword() {
			l.keep(errBare)
			return
		}
		p[3] -= l.shift
		first := p.payload()[0]
		if first == answerOK && l.lock != "" && ask(srv, "DO GET_LOCK('"+l.lock+"', 0)", patientServer) != nil {
			return
		}
		if err := p.write(child); err != nil {
			return
		}
		if first == answerOK || first == answerError {
			forward(child, srv)
			return
		}
	}
}

// patientServer keeps the server from ending the session of a dump that a slow storage holds up, which it does after a
// minute: how long that may take is for the executor's stallAfter.
const patientServer = "SET SESSION net_write_timeout=86400"

// ask makes statements in a session before the child can: the user-level lock by which it is known first. A server that
// refuses (some clusters know no such locks) goes on without: the answers are not looked at.
func ask(srv net.Conn, statements ...string) error {
	for _, s := range statements {
		request := append(packet{byte(1 + len(s)), 0, 0, 0, comQuery}, s...)
		if err := request.write(srv); err != nil {
			return err
		}
		if _, err := readPacket(srv); err != nil {
			return err
		}
	}
	return nil
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
