package subscription

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
)

// Sealer keeps documents so that the store alone does not give them away: AES-256-GCM, with the subscription's
// id as additional data, so that one cannot be put in another's place. It shows no key.
type Sealer struct{ aead cipher.AEAD }

const (
	sealKey     = 32
	sealVersion = 1
)

// NewSealKey makes a key as NewSealer reads it.
func NewSealKey() string {
	key := make([]byte, sealKey)
	_, _ = rand.Read(key) // never fails (crypto/rand)
	return base64.StdEncoding.EncodeToString(key)
}

// NewSealer reads a key: the standard base64 of 32 random bytes. The error never holds it.
func NewSealer(text string) (*Sealer, error) {
	key, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(key) != sealKey {
		return nil, errors.New("is not the base64 of 32 random bytes: make one with: openssl rand -base64 32")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, errors.New("is no AES key")
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, errors.New("is no AES key")
	}
	return &Sealer{aead}, nil
}

// seal writes a document: one byte of version, the nonce, the ciphertext.
func (s *Sealer) seal(d Document) ([]byte, error) {
	plain, err := json.Marshal(kept(d))
	if err != nil {
		return nil, errors.New("subscription cannot be encoded")
	}
	nonce := make([]byte, s.aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails (crypto/rand)
	return s.aead.Seal(append([]byte{sealVersion}, nonce...), nonce, plain, []byte(d.ID)), nil
}

// errSealed is returned for a document that this key does not open.
var errSealed = errors.New("subscription cannot be opened: was the key of notifier.keyRef changed?")

func (s *Sealer) open(id string, b []byte) (Document, error) {
	n := 1 + s.aead.NonceSize()
	if len(b) < n || b[0] != sealVersion {
		return Document{}, errSealed
	}
	plain, err := s.aead.Open(nil, b[1:n], b[n:], []byte(id))
	if err != nil {
		return Document{}, errSealed
	}
	var d kept
	if err := json.Unmarshal(plain, &d); err != nil || d.ID != id {
		return Document{}, fmt.Errorf("subscription %s cannot be read", id)
	}
	return Document(d), nil
}

// kept is a Document with the encoding that the type itself refuses.
type kept Document
