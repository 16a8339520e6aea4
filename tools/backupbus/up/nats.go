package up

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// syncInterval bounds what a power failure can take: what was acknowledged in the last second.
const syncInterval = time.Second

// startNATS runs a server in this process that listens nowhere.
func startNATS(dir string, log *slog.Logger) (*server.Server, error) {
	s, err := server.NewServer(&server.Options{
		ServerName: "backupbus", DontListen: true, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: dir, SyncInterval: syncInterval,
	})
	if err != nil {
		return nil, fmt.Errorf("embedded NATS: %w", err)
	}
	s.SetLoggerV2(natsLog{log.With("service", "nats")}, false, false, false)
	s.Start()
	if !s.ReadyForConnections(30 * time.Second) {
		stopNATS(s)
		return nil, errors.New("embedded NATS is not ready after 30 s: look at the log above")
	}
	return s, nil
}

func stopNATS(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

// natsLog passes on what an operator has to know and nothing else.
type natsLog struct{ *slog.Logger }

func (l natsLog) Noticef(string, ...any)        {}
func (l natsLog) Debugf(string, ...any)         {}
func (l natsLog) Tracef(string, ...any)         {}
func (l natsLog) Warnf(format string, v ...any) { l.Warn("nats", "message", fmt.Sprintf(format, v...)) }
func (l natsLog) Errorf(format string, v ...any) {
	l.Error("nats", "message", fmt.Sprintf(format, v...))
}
func (l natsLog) Fatalf(format string, v ...any) {
	l.Error("nats", "message", fmt.Sprintf(format, v...))
}

// lock keeps a second process off the data folder. The system drops it when the process dies.
func lock(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("data folder %s is in use by another backupbus: stop that one, or name another folder with --data", dir)
	}
	return func() { _ = f.Close() }, nil
}
