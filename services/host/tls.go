package host

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
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
func (t TLS) config(l *slog.Logger) (*tls.Config, error) {
	if t == (TLS{}) {
		return nil, nil
	}
	if err := t.Validate(); err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	k := &keeper{files: t, slog: l}
	if err := k.load(); err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: k.certificate}, nil
}

// keeper keeps a certificate and reads it again when a file has changed. While the new files cannot be used, the old
// certificate stays: a renewal writes two files, one after the other.
type keeper struct {
	files TLS
	slog  *slog.Logger

	mu   sync.Mutex
	cert *tls.Certificate
	seen [2]time.Time // when the files were last changed, as they were last read
	said string       // of what could not be used
}

func (k *keeper) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	err := k.load()
	if err != nil && err.Error() != k.said {
		k.slog.Warn("the certificate's new files cannot be used: the one before is served on", "until", k.cert.Leaf.NotAfter, "error", err.Error())
	}
	if k.said = ""; err != nil {
		k.said = err.Error()
	}
	return k.cert, nil
}

// load reads the files if they have changed since.
func (k *keeper) load() error {
	changed, err := k.files.changed()
	if err != nil {
		return err
	}
	if k.cert != nil && changed == k.seen {
		return nil
	}
	c, err := tls.LoadX509KeyPair(k.files.CertFile, k.files.KeyFile)
	if err != nil {
		return err
	}
	k.cert, k.seen = &c, changed
	return nil
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
