package events

// Code says what went wrong, in the open set of events.md 2.4.
type Code string

// The codes of events.md 2.4.
const (
	ProviderUnavailable Code = "PROVIDER_UNAVAILABLE"
	ProviderRejected    Code = "PROVIDER_REJECTED"
	PermissionDenied    Code = "PERMISSION_DENIED"
	QuotaExceeded       Code = "QUOTA_EXCEEDED"
	NotFound            Code = "NOT_FOUND"
	AlreadyExists       Code = "ALREADY_EXISTS"
	DeadlineExceeded    Code = "DEADLINE_EXCEEDED"
	StorageFull         Code = "STORAGE_FULL"
	Network             Code = "NETWORK"
	Corrupt             Code = "CORRUPT"
	CodeCancelled       Code = "CANCELLED"
	Internal            Code = "INTERNAL"
)

// Category says who can mend it.
type Category string

// The categories of events.md 2.4.
const (
	ByUser     Category = "USER"
	ByProvider Category = "PROVIDER"
	BySystem   Category = "SYSTEM"
)

// Failure is the error object that an event carries. It is an error too, so that a provider can return
// it and a runner find it with errors.As.
type Failure struct {
	Code           Code     `json:"code"`
	Category       Category `json:"category"`
	Message        string   `json:"message"` // at most 2 KiB, redacted, says what to do next
	Retryable      bool     `json:"retryable"`
	ProviderCode   string   `json:"providerCode,omitempty"`   // at most 128
	ProviderStatus string   `json:"providerStatus,omitempty"` // at most 128
}

// Error is the code and the message.
func (f *Failure) Error() string { return string(f.Code) + ": " + f.Message }

const maxFailureMessage = 2048

// clip keeps a failure within the bounds of events.md 2.4 and free of what must not travel.
func (f *Failure) clip() *Failure {
	if f == nil {
		return nil
	}
	c := *f
	c.Message = Clip(Redact(c.Message), maxFailureMessage)
	c.ProviderCode = Clip(c.ProviderCode, 128)
	c.ProviderStatus = Clip(c.ProviderStatus, 128)
	return &c
}

// Clip cuts s to at most n bytes without cutting a character in two.
func Clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n]
}
