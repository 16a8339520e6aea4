package host

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// TLS names the files of a server's certificate. The zero value is a server in cleartext.
type TLS struct {
	// CertFile holds the certificate and what it is signed by, in PEM.
	CertFile string `yaml:"certFile"`
	// KeyFile holds its key, in PEM. Only its owner and its group may read it.
	KeyFile string `yaml:"keyFile"`
}

// Validate tells what is wrong with the names; it opens no file.
func (t TLS) Validate() error {
	if t == (TLS{}) {
		return nil
	}
	if t.CertFile == "" || t.KeyFile == "" {
		return errors.New("certFile and keyFile go together")
	}
	if !filepath.IsAbs(t.CertFile) || !filepath.IsAbs(t.KeyFile) {
		return errors.New("certFile and keyFile have to be absolute paths")
	}
	return nil
}

// config is nil for cleartext.
func (t TLS) config() (*tls.Config, error) {
	if t == (TLS{}) {
		return nil, nil
	}
	if err := t.Validate(); err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	k := &keeper{files: t}
	if _, err := k.certificate(nil); err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: k.certificate}, nil
}

// keeper keeps a certificate and reads it again when a file has changed. While the new files cannot be used, the old
// certificate stays: a renewal writes two files, one after the other.
type keeper struct {
	files TLS

	mu   sync.Mutex
	cert *tls.Certificate
	read [2]time.Time // when the files were last changed
}

func (k *keeper) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	changed, err := k.files.changed()
	if err == nil && (k.cert == nil || changed != k.read) {
		var c tls.Certificate
		if c, err = tls.LoadX509KeyPair(k.files.CertFile, k.files.KeyFile); err == nil {
			k.cert, k.read = &c, changed
		}
	}
	if k.cert != nil {
		return k.cert, nil
	}
	return nil, err
}

func (t TLS) changed() (at [2]time.Time, err error) {
	for i, name := range []string{t.CertFile, t.KeyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return at, err
		}
		if wide := info.Mode().Perm() & fs.FileMode(0o027); name == t.KeyFile && wide != 0 {
			return at, fmt.Errorf("%s has mode %04o: run chmod 640 on it, so that others cannot read it", name, info.Mode().Perm())
		}
		at[i] = info.ModTime()
	}
	return at, nil
}
