// Package mail sends events as e-mail, through the operator's mail server.
//
//	Server.Parse   mailto:ops@example.com: who is written to            (at configuration)
//	Server.New     Mailbox: one sink
//	Post           connect ──▶ STARTTLS ──▶ AUTH ──▶ one message ──▶ reply code
//
// A subscription names one recipient. Server, sender and credential are the operator's, in the settings; so is the
// list of recipients that are allowed, which takes the place of the permission that a webhook is asked for.
package mail
