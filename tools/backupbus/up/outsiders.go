package up

import (
	"fmt"
	"net"
	"strconv"

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/crypto/bcrypt"

	"github.com/backupbus/backupbus/events/bus"
)

// outsiders is the account of programs of others. The services stay in the server's global account, where their
// streams are whether it listens or not.
const outsiders = "OUTSIDERS"

// admit makes the server listen: who brings the password is a service, who brings nothing an outsider.
func admit(o *server.Options, listen, user, password string, r bus.Rights) error {
	host, port, err := bindable(listen)
	if err != nil {
		return fmt.Errorf("listen for NATS clients: %w", err)
	}
	account := server.NewAccount(outsiders)
	may := &server.Permissions{
		Publish:   &server.SubjectPermission{Deny: r.Denied},
		Subscribe: &server.SubjectPermission{Allow: append([]string{"_INBOX.>"}, r.Hears...)},
	}
	for _, q := range r.Requests {
		may.Publish.Allow = append(may.Publish.Allow, q.Subject)
	}
	o.DontListen, o.Host, o.Port = false, host, port
	o.Accounts = []*server.Account{account}
	o.NoAuthUser = "outsider"
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost) // it is random: nobody guesses it
	if err != nil {
		return fmt.Errorf("listen for NATS clients: %w", err)
	}
	o.Users = []*server.User{{Username: user, Password: string(hash)}, {Username: o.NoAuthUser, Account: account, Permissions: may}}
	return nil
}

// bindable takes the address once, as the server's own attempt fails only after long.
func bindable(listen string) (host string, port int, err error) {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return "", 0, err
	}
	if err := l.Close(); err != nil {
		return "", 0, err
	}
	host, p, err := net.SplitHostPort(listen)
	if err != nil {
		return "", 0, err
	}
	if port, err = strconv.Atoi(p); port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, err
}

// separate lets what outsiders may do, and no more, cross into the services' account. Answers cross back only to
// where they were asked for: no request makes the server publish among the services.
func separate(s *server.Server, r bus.Rights) error {
	services := s.GlobalAccount()
	account, err := s.LookupAccount(outsiders)
	if err != nil {
		return err
	}
	for _, q := range r.Requests {
		answers := server.Singleton
		if q.Messages {
			answers = server.Streamed
		}
		if err := services.AddServiceExportWithResponse(q.Handler, answers, []*server.Account{account}); err != nil {
			return fmt.Errorf("export %s: %w", q.Handler, err)
		}
		if err := account.AddServiceImport(services, q.Subject, q.Handler); err != nil {
			return fmt.Errorf("import %s: %w", q.Subject, err)
		}
	}
	for _, subject := range r.Hears {
		if err := services.AddStreamExport(subject, []*server.Account{account}); err != nil {
			return fmt.Errorf("export %s: %w", subject, err)
		}
		if err := account.AddStreamImport(services, subject, ""); err != nil {
			return fmt.Errorf("import %s: %w", subject, err)
		}
	}
	return nil
}
