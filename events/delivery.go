package events

// DeadDelivery is the `data` of `delivery.dead_lettered`: a webhook that will not be tried again
// (events.md 2.3).
type DeadDelivery struct {
	Project          string `json:"project"`
	DeliveryID       string `json:"deliveryId"`
	SubscriptionID   string `json:"subscriptionId"`
	SinkOrigin       string `json:"sinkOrigin"` // scheme, host, port
	EventID          string `json:"eventId"`
	EventType        string `json:"eventType"`
	EventSource      string `json:"eventSource"`
	EventSequence    string `json:"eventSequence"`
	Attempts         int    `json:"attempts"`
	FirstAttemptTime Time   `json:"firstAttemptTime"`
	LastAttemptTime  Time   `json:"lastAttemptTime"`
	LastOutcome      string `json:"lastOutcome"`
	Reason           string `json:"reason"` // EXHAUSTED, EXPIRED, PERMANENT_STATUS, GONE
	LastStatusCode   int    `json:"lastStatusCode,omitempty"`
}

// Aggregate names the delivery.
func (d DeadDelivery) Aggregate() Aggregate {
	return Aggregate{Project: d.Project, Entity: Deliveries, ID: d.DeliveryID, Parent: d.SubscriptionID}
}

func (d DeadDelivery) attributes() own { return own{} }

func (d DeadDelivery) bounded() any { return d }
