package events

// Subscription is the public part of a webhook subscription: the `data` of every `subscription.*` event but
// the test (events.md 2.3). It never holds a secret, a header or a sink's path or query.
type Subscription struct {
	Project                  string   `json:"project"`
	SubscriptionID           string   `json:"subscriptionId"`
	Generation               int      `json:"generation"` // the number in `sequence`
	Status                   string   `json:"status"`     // ACTIVE, UNVERIFIED, FAILING, DISABLED
	SecretGeneration         int      `json:"secretGeneration"`
	SinkOrigin               string   `json:"sinkOrigin"`       // scheme, host, port
	Reason                   string   `json:"reason,omitempty"` // on failing and disabled: GONE, FAILING, ADMIN
	ChangedFields            []string `json:"changedFields,omitempty"`
	FirstFailureTime         Time     `json:"firstFailureTime,omitzero"`
	LastSuccessTime          Time     `json:"lastSuccessTime,omitzero"`
	PreviousSecretExpireTime Time     `json:"previousSecretExpireTime,omitzero"`
}

// Aggregate names the subscription.
func (s Subscription) Aggregate() Aggregate {
	return Aggregate{Project: s.Project, Entity: Subscriptions, ID: s.SubscriptionID}
}

func (s Subscription) attributes() own { return own{} }

func (s Subscription) bounded() any { return s }

// SubscriptionTest is the `data` of `subscription.test`, which is sent to one sink and stands in no stream.
type SubscriptionTest struct {
	Project        string `json:"project"`
	SubscriptionID string `json:"subscriptionId"`
	Message        string `json:"message"`
	TestTime       Time   `json:"testTime"`
}

// Aggregate names the subscription.
func (s SubscriptionTest) Aggregate() Aggregate {
	return Aggregate{Project: s.Project, Entity: Subscriptions, ID: s.SubscriptionID}
}

func (s SubscriptionTest) attributes() own { return own{} }

func (s SubscriptionTest) bounded() any { return s }

// NewSubscriptionID is `su_…` of a subscription that is made over the API.
func NewSubscriptionID() string { return "su_" + FreshKey() }

// NewReplayID is `rp_…`.
func NewReplayID() string { return "rp_" + FreshKey() }

// ReplayedDeliveryID is `dl_…` of one event that a replay sends to one subscription again.
func ReplayedDeliveryID(subscriptionID, eventSource, eventID, replayID string) (string, error) {
	return hash("dl_", "delivery", subscriptionID, eventSource, eventID, replayID)
}
