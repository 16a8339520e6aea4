package mysql

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// greetingOf is a server's, with these capabilities in its lower two bytes.
func greetingOf(low, high byte) packet {
	body := []byte("\x0a11.8.9-MariaDB\x00")
	body = append(body, 7, 0, 0, 0)             // session
	body = append(body, "saltsalt\x00"...)      // first part of the salt
	body = append(body, low, high, 45, 2, 0)    // capabilities, character set, status
	body = append(body, 0xff, 0x81, 21)         // upper capabilities, length of the salt
	body = append(body, make([]byte, 10+13)...) // the rest of the salt
	return append(packet{byte(len(body)), 0, 0, 0}, body...)
}

func TestGreeting_HidesTLSFromTheChildAndTellsTheRelay(t *testing.T) {
	t.Parallel()
	can := greetingOf(0xff, 0xff)
	if !can.hideTLS() || !bytes.Equal(can, greetingOf(0xff, 0xff&^(capSSL>>8))) {
		t.Errorf("% x", can)
	}
	if can.hideTLS() {
		t.Error("it is hidden and there")
	}
	refusal := append(packet{3, 0, 0, 0}, 0xff, 0x10, 0x04)
	if refusal.hideTLS() || !bytes.Equal(refusal.payload(), []byte{0xff, 0x10, 0x04}) {
		t.Errorf("% x", refusal)
	}
}

// packetOf is the first packet with this payload.
func packetOf(payload ...byte) packet { return append(packet{byte(len(payload)), 0, 0, 0}, payload...) }

// attributes is where the upper capabilities have theirs, in their second byte.
const attributes = capQueryAttributes >> 8

func TestGreeting_HidesTheAttributesOfQueriesAndNothingElse(t *testing.T) {
	t.Parallel()
	at := bytes.Index(greetingOf(0, 0), []byte{0xff, 0x81}) + 1
	for _, upper := range []byte{0x81, 0x81 | attributes, 0xff, 0} {
		got, want := greetingOf(0xff, 0xff), greetingOf(0xff, 0xff)
		got[at], want[at] = upper, upper&^attributes
		got.hideQueryAttributes()
		if !bytes.Equal(got, want) {
			t.Errorf("%x: % x", upper, got)
		}
	}
	for _, p := range []packet{packetOf(0xff, 0x10, 0x04), packetOf([]byte("\x0a5.7\x00")...)} {
		got := packetOf(p.payload()...)
		got.hideQueryAttributes()
		if !bytes.Equal(got, p) {
			t.Errorf("% x became % x", p, got)
		}
	}
}

func TestAnswer_HidesTheAttributesOfQueriesAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, upper := range []byte{0x81, 0x81 | attributes, 0xff, 0} {
		answer := packetOf(append([]byte{0xff, 0xff, 0xff, upper}, make([]byte, sslRequestSize)...)...)
		want := bytes.Clone(answer)
		want[headerSize+3] = upper &^ attributes
		got, err := readAnswer(bytes.NewReader(answer))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%x: % x, %v", upper, got, err)
		}
	}
}

func TestAnswer_OnlyOneThatIsTooShortBlamesTheServer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sent []byte
		want error
	}{
		"short":        {packetOf(make([]byte, sslRequestSize-1)...), errProtocol},
		"empty":        {packetOf(), errProtocol},
		"none":         {nil, io.EOF},
		"in the head":  {packetOf(1)[:2], io.ErrUnexpectedEOF},
		"in the midst": {packetOf(1, 2)[:5], io.ErrUnexpectedEOF},
	} {
		if _, err := readAnswer(bytes.NewReader(c.sent)); !errors.Is(err, c.want) || errors.Is(err, errProtocol) != errors.Is(c.want, errProtocol) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLogin_KnowsWhatIsAnsweredWithThePasswordItself(t *testing.T) {
	t.Parallel()
	for payload, want := range map[string]bool{
		"\x01\x04":                               true,
		"\x01\x03":                               false,
		"\x01\x04\x00":                           false,
		"\x01-----BEGIN PUBLIC KEY-----":         false,
		"\x00\x00\x00\x02\x00":                   false,
		"\xff\x15\x04#28000Access denied":        false,
		"\xfe":                                   true,
		"\xfemysql_clear_password\x00":           true,
		"\xfemysql_clear_password":               true,
		"\xfedialog\x00Password: ":               true,
		"\xfemysql_native_password_\x00salt\x00": true,
		"\xfemysql_old_password\x00salt\x00":     true,
		"\xfemysql_native_password\x00salt\x00":  false,
		"\xfeclient_ed25519\x00salt":             false,
		"\xfeparsec\x00salt":                     false,
		"\xfecaching_sha2_password\x00salt\x00":  false,
		"\xfesha256_password\x00salt\x00":        false,
	} {
		if got := packetOf([]byte(payload)...).asksForPassword(); got != want {
			t.Errorf("%q: want %v, got %v", payload, want, got)
		}
	}
}
