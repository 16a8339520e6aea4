package up

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/backupbus/backupbus/events/bus"
)

// syncInterval bounds what a power failure can take: what was acknowledged in the last second.
const syncInterval = time.Second

// natsServer is the server in this process. Without an address it listens nowhere.
type natsServer struct {
	*server.Server
	user, password string // of our own services, if there are others
}

// startNATS runs one, for programs of others at listen if that is not empty.
func startNATS(dir, listen string, rights bus.Rights, log *slog.Logger) (*natsServer, error) {
	n := &natsServer{}
	o := &server.Options{
		ServerName: "backupbus", DontListen: true, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: dir, SyncInterval: syncInterval,
	}
	if listen != "" {
		n.user, n.password = "services", rand.Text()
		if err := admit(o, listen, n.user, n.password, rights); err != nil {
			return nil, err
		}
	}
	var err error
	if n.Server, err = server.NewServer(o); err != nil {
		return nil, fmt.Errorf("embedded NATS: %w", err)
	}
	n.SetLoggerV2(natsLog{log.With("service", "nats")}, false, false, false)
	if listen != "" {
		if err := separate(n.Server, rights); err != nil {
			return nil, fmt.Errorf("embedded NATS: %w", err)
		}
	}
	n.Start()
	if !n.ReadyForConnections(30 * time.Second) {
		stopNATS(n)
		return nil, errors.New("embedded NATS is not ready after 30 s: look at the log above")
	}
	if listen != "" { // with other accounts beside it, the services' one gets its streams only when asked for
		if err := n.GlobalAccount().EnableJetStream(nil, nil); err != nil {
			stopNATS(n)
			return nil, fmt.Errorf("embedded NATS: %w", err)
		}
	}
	return n, nil
}

func stopNATS(s *natsServer) {
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
	mode := os.FileMode(0o700)
	if os.Geteuid() == 0 { // the account of scratch servers passes through it, and sees nothing: all in it is private
		mode = 0o711
	}
	if err := os.MkdirAll(dir, mode); err != nil {
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
