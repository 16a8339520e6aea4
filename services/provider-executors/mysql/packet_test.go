package mysql

import (
	"bytes"
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
