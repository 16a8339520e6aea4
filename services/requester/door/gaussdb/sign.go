package gaussdb

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/secret"
)

// The signature of gaussdb.md 3.1.
const (
	scheme    = "SDK-HMAC-SHA256"
	sdkDate   = "X-Sdk-Date"
	dateForm  = "20060102T150405Z"
	clockSkew = 15 * time.Minute

	badSignature = "verify aksk signature fail"
	maxSigned    = 100     // headers
	maxShown     = 4 << 10 // bytes of a canonical request
)

// authorization is the header of that name, taken apart.
type authorization struct {
	access    string
	headers   []string // in their order
	signature string
}

func parseAuthorization(s string) (a authorization, ok bool) {
	rest, ok := strings.CutPrefix(s, scheme+" ")
	if !ok {
		return a, false
	}
	fields := map[string]string{}
	for _, f := range strings.Split(rest, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(f), "=")
		if _, twice := fields[name]; !ok || twice {
			return a, false
		}
		fields[name] = value
	}
	a = authorization{access: fields["Access"], headers: strings.Split(fields["SignedHeaders"], ";"), signature: fields["Signature"]}
	return a, len(fields) == 3 && a.access != "" && a.signature != "" && len(a.headers) <= maxSigned && !slices.Contains(a.headers, "")
}

// verify finds out who signed a request, in the order of gaussdb.md 3.2. No nonce exists: the same request is valid
// again until its clock window closes.
func (d *Door) verify(c *call, now time.Time) error {
	auth, ok := parseAuthorization(c.Header.Get("Authorization"))
	if !ok {
		return unauthorized(badSignature)
	}
	dates := c.Header.Values(sdkDate)
	if len(dates) != 1 || !slices.Contains(auth.headers, strings.ToLower(sdkDate)) {
		return unauthorized(badSignature)
	}
	date, err := time.Parse(dateForm, dates[0])
	if err != nil {
		return unauthorized(badSignature)
	}
	k, ok := d.ring.Key(auth.access)
	if !ok {
		return unauthorized("Get secretKey failed,ak:" + events.Clip(auth.access, 128) + ",err:ak not exist")
	}
	if d.c.LockKeys && d.locks.locked(auth.access, now) {
		return unauthorized("AK access failed to reach the limit,forbidden.")
	}
	if now.Sub(date).Abs() > clockSkew {
		return unauthorized("calc ak sk signature fail:signature expired")
	}
	if err := c.readBody(); err != nil {
		return err
	}
	if err := check(k.Secret, c, auth, dates[0]); err != nil {
		d.locks.tried(auth.access, false, now)
		return err
	}
	if !k.Token.None() && !k.Token.Is(c.Header.Get("X-Security-Token")) {
		d.locks.tried(auth.access, false, now)
		return unauthorized(badSignature)
	}
	d.locks.tried(auth.access, true, now)
	c.who = k.Caller
	return nil
}

// check computes the signature anew. A bare + in the query may have been signed as a space or as itself.
func check(key secret.Value, c *call, auth authorization, date string) error {
	sum := sha256.Sum256(c.body)
	hash := hex.EncodeToString(sum[:])
	if sent := c.Header.Get("X-Sdk-Content-Sha256"); sent != "" && sent != hash { // UNSIGNED-PAYLOAD too
		return unauthorized(badSignature)
	}
	for _, plusIsSpace := range []bool{true, false} {
		q := parseQuery(c.URL.RawQuery, plusIsSpace)
		text, ok := canonical(c.Request, auth.headers, q, hash)
		if !ok {
			return unauthorized(badSignature)
		}
		if subtle.ConstantTimeCompare([]byte(sign(key, date, text)), []byte(auth.signature)) == 1 {
			c.query = q
			return nil
		}
	}
	shown, _ := canonical(withoutTokens(c.Request), auth.headers, parseQuery(c.URL.RawQuery, true), hash)
	return unauthorized(badSignature + ", canonicalRequest:" + events.Clip(strings.ReplaceAll(shown, "\n", "|"), maxShown))
}

// withoutTokens is a request as it may be shown: tokens that it carries may be signed.
func withoutTokens(r *http.Request) *http.Request {
	shown := *r
	shown.Header = r.Header.Clone()
	for _, name := range []string{"X-Auth-Token", "X-Security-Token", "Authorization", "Cookie"} {
		if len(shown.Header[name]) > 0 {
			shown.Header[name] = []string{"***"}
		}
	}
	return &shown
}

func sign(key secret.Value, date, canonicalRequest string) string {
	sum := sha256.Sum256([]byte(canonicalRequest))
	mac := hmac.New(sha256.New, []byte(key.Reveal()))
	mac.Write([]byte(scheme + "\n" + date + "\n" + hex.EncodeToString(sum[:])))
	return hex.EncodeToString(mac.Sum(nil))
}

// canonical is the request as it is signed; false if it names a header that it has not, or cannot be read.
func canonical(r *http.Request, signed []string, q query, bodyHash string) (string, bool) {
	path, ok := canonicalPath(r.URL.EscapedPath())
	if !ok || q.malformed {
		return "", false
	}
	var headers strings.Builder
	for _, name := range signed {
		values := r.Header[textproto.CanonicalMIMEHeaderKey(name)]
		if strings.EqualFold(name, "host") {
			values = []string{r.Host}
		}
		if len(values) == 0 {
			return "", false
		}
		values = slices.Clone(values)
		slices.Sort(values)
		for _, v := range values {
			headers.WriteString(name + ":" + strings.TrimSpace(v) + "\n")
		}
	}
	return strings.Join([]string{r.Method, path, q.canonical(), headers.String(), strings.Join(signed, ";"), bodyHash}, "\n"), true
}

// canonicalPath has a slash at its end, which is not on the wire.
func canonicalPath(escaped string) (string, bool) {
	segments := strings.Split(escaped, "/")
	for i, s := range segments {
		plain, err := url.PathUnescape(s)
		if err != nil {
			return "", false
		}
		segments[i] = percent(plain)
	}
	path := strings.Join(segments, "/")
	if !strings.HasSuffix(path, "/") {
		path += "/"
	}
	return path, true
}

// percent keeps letters, digits and - _ . ~; every other byte becomes %XX.
func percent(s string) string {
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', strings.IndexByte("-_.~", c) >= 0:
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', hexDigits[c>>4], hexDigits[c&15]})
		}
	}
	return b.String()
}
