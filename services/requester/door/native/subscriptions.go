package native

import (
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Subscriptions are the notifier's, which the requester forwards requests to (events.md 7). They are described here so
// that the document is of the whole API; what the notifier answers is held against it by a test of the whole program.

// SubscriptionSpec is what a user says of a subscription. It is exported because the schema is made by reflection.
type SubscriptionSpec struct {
	Sink     string               `json:"sink" maxLength:"2048" doc:"https://… (its query is not shown again), or mailto: and one address"`
	Protocol string               `json:"protocol" enum:"HTTP,SMTP"`
	Types    []string             `json:"types,omitempty" minItems:"1" maxItems:"100" doc:"exact event types; absent: all"`
	Filters  []map[string]any     `json:"filters,omitempty" maxItems:"32" doc:"exact, prefix, suffix, all, any, not, sql; all have to be true"`
	Config   subscriptionConfig   `json:"config,omitempty"`
	Settings subscriptionSettings `json:"protocolsettings,omitempty"`
	Disabled bool                 `json:"disabled,omitempty"`
}

type subscriptionConfig struct {
	Name        string `json:"name,omitempty" maxLength:"100" doc:"unique in the project"`
	Description string `json:"description,omitempty" maxLength:"1024"`
}

type subscriptionSettings struct {
	Headers       map[string]string `json:"headers,omitempty" doc:"the sink's own, at most 16; values are never shown again, and dropped when the sink moves to another scheme, host or port: give them anew with it"`
	Ordering      string            `json:"ordering,omitempty" enum:"none,subject"`
	ContentMode   string            `json:"contentMode,omitempty" enum:"structured,binary"`
	Format        string            `json:"format,omitempty" enum:"cloudevent,slack,teams,discord,email"`
	Signing       []string          `json:"signing,omitempty" maxItems:"2" doc:"v1, v1a or both"`
	TimeoutMs     int               `json:"timeoutMs,omitempty" minimum:"1000" maximum:"30000"`
	MaxInFlight   int               `json:"maxInFlight,omitempty" minimum:"1" maximum:"64"`
	RatePerMinute int               `json:"ratePerMinute,omitempty" minimum:"1" maximum:"60000"`
}

type subscriptionBody struct {
	ID         string    `json:"id"`
	Project    string    `json:"project"`
	CreateTime time.Time `json:"createTime"`
	UpdateTime time.Time `json:"updateTime"`
	Generation int       `json:"generation" doc:"also the ETag"`
	SubscriptionSpec
	Status        subscriptionStatus `json:"status"`
	SigningSecret string             `json:"signingSecret,omitempty" doc:"in the answer to its creation only"`
	PublicKeys    []string           `json:"publicKeys,omitempty"`
}

type subscriptionStatus struct {
	State                string    `json:"state" enum:"ACTIVE,UNVERIFIED,FAILING,DISABLED"`
	Reason               string    `json:"reason,omitempty"`
	Circuit              string    `json:"circuit" enum:"CLOSED,OPEN"`
	AllowedRatePerMinute int       `json:"allowedRatePerMinute"`
	LastSuccessTime      time.Time `json:"lastSuccessTime,omitempty"`
	PausedUntilTime      time.Time `json:"pausedUntilTime,omitempty"`
	ConsecutiveFailures  int       `json:"consecutiveFailures"`
	PendingDeliveries    int       `json:"pendingDeliveries"`
	OldestPendingTime    time.Time `json:"oldestPendingTime,omitempty"`
	FilterErrors         int       `json:"filterErrors"`
	LastFilterError      string    `json:"lastFilterError,omitempty"`
	SecretGeneration     int       `json:"secretGeneration"`
	PreviousSecretExpire time.Time `json:"previousSecretExpireTime,omitempty"`
	PublicKeys           []string  `json:"publicKeys,omitempty"`
}

type subscriptionList struct {
	Subscriptions []subscriptionBody `json:"subscriptions"`
	NextCursor    string             `json:"nextCursor,omitempty"`
}

type deliveryBody struct {
	DeliveryID      string            `json:"deliveryId"`
	SubscriptionID  string            `json:"subscriptionId"`
	Project         string            `json:"project"`
	EventID         string            `json:"eventId"`
	EventType       string            `json:"eventType"`
	EventSource     string            `json:"eventSource"`
	EventSequence   string            `json:"eventSequence"`
	EventSeq        int64             `json:"eventSeq" doc:"place in the log of events"`
	State           string            `json:"state" enum:"PENDING,IN_FLIGHT,RETRYING,DELIVERED,DEAD,SUPPRESSED"`
	Reason          string            `json:"reason,omitempty"`
	CreateTime      time.Time         `json:"createTime"`
	NextAttemptTime time.Time         `json:"nextAttemptTime,omitempty"`
	ReplayOf        string            `json:"replayOf,omitempty"`
	ReplayID        string            `json:"replayId,omitempty"`
	Attempts        []deliveryAttempt `json:"attempts,omitempty"`
}

type deliveryAttempt struct {
	Number              int       `json:"number"`
	StartTime           time.Time `json:"startTime"`
	DurationMs          int64     `json:"durationMs"`
	Outcome             string    `json:"outcome"`
	StatusCode          int       `json:"statusCode,omitempty" doc:"of HTTP, or the reply code of the mail server"`
	RetryAfterSeconds   int64     `json:"retryAfterSeconds,omitempty"`
	ResponseBodyPreview string    `json:"responseBodyPreview,omitempty"`
}

type deliveryList struct {
	Deliveries []deliveryBody `json:"deliveries"`
	NextCursor string         `json:"nextCursor,omitempty"`
}

type rotateBody struct {
	OverlapSeconds int    `json:"overlapSeconds,omitempty" minimum:"0" maximum:"604800" doc:"how long both sign; default 86400"`
	Scheme         string `json:"scheme,omitempty" enum:"v1,v1a"`
	Secret         string `json:"secret,omitempty" doc:"v1: one of your own, whsec_…"`
}

type replayBody struct {
	EventIDs  []string         `json:"eventIds,omitempty" maxItems:"100" doc:"these, whatever the subscription's types and filters"`
	From      time.Time        `json:"from,omitempty" doc:"with to: those of a time that the subscription wants"`
	To        time.Time        `json:"to,omitempty"`
	States    []string         `json:"states,omitempty"`
	Types     []string         `json:"types,omitempty"`
	Filters   []map[string]any `json:"filters,omitempty"`
	MaxEvents int              `json:"maxEvents,omitempty" maximum:"100000"`
}

type replayAnswer struct {
	ReplayID string `json:"replayId"`
}

// subscriptions describes the notifier's part.
func subscriptions(api huma.API) {
	doc := api.OpenAPI()
	content := func(v any) map[string]*huma.MediaType {
		return map[string]*huma.MediaType{"application/json": {Schema: doc.Components.Schemas.Schema(reflect.TypeOf(v), true, "")}}
	}
	text := &huma.Schema{Type: huma.TypeString}
	param := func(in, name string) *huma.Param {
		return &huma.Param{Name: name, In: in, Required: in == "path", Schema: text}
	}
	add := func(id, permission, method, path, summary string, body any, status string, answer any, params ...*huma.Param) {
		op := &huma.Operation{OperationID: id, Method: method, Path: project + "/subscriptions" + path, Tags: []string{"subscriptions"}, Summary: summary, Extensions: needs(permission),
			Parameters: append([]*huma.Param{param("path", "project")}, params...),
			Responses: map[string]*huma.Response{status: {Description: http.StatusText(int(status[0]-'0')*100 + int(status[1]-'0')*10 + int(status[2]-'0'))},
				"default": {Description: "Error", Content: map[string]*huma.MediaType{"application/problem+json": {Schema: doc.Components.Schemas.Schema(reflect.TypeFor[problem](), true, "")}}}}}
		if body != nil {
			op.RequestBody = &huma.RequestBody{Required: true, Content: content(body)}
		}
		if answer != nil {
			op.Responses[status].Content = content(answer)
		}
		doc.AddOperation(op)
	}
	query := func(names ...string) (out []*huma.Param) {
		for _, n := range names {
			out = append(out, param("query", n))
		}
		return out
	}
	id, match := param("path", "subscription"), param("header", "If-Match")
	const one = "/{subscription}"
	add("createSubscription", "subscriptions.create", http.MethodPost, "", "Send events to a URL, or by e-mail", SubscriptionSpec{}, "201", subscriptionBody{})
	add("listSubscriptions", "subscriptions.list", http.MethodGet, "", "List subscriptions, the oldest first", nil, "200", subscriptionList{}, query("limit", "cursor", "status")...)
	add("getSubscription", "subscriptions.get", http.MethodGet, one, "Read one subscription", nil, "200", subscriptionBody{}, id)
	add("updateSubscription", "subscriptions.update", http.MethodPatch, one, "Change a subscription (JSON merge patch)", map[string]any{}, "200", subscriptionBody{}, id, match)
	add("deleteSubscription", "subscriptions.delete", http.MethodDelete, one, "Delete a subscription; what waits is not sent", nil, "204", nil, id, match)
	add("rotateSecret", "subscriptions.rotateSecret", http.MethodPost, one+":rotateSecret", "Give it another signing secret; for a while both sign", rotateBody{}, "200", map[string]any{}, id)
	add("replaySubscription", "subscriptions.replay", http.MethodPost, one+":replay", "Send events again, by id or those of a time that it wants", replayBody{}, "202", replayAnswer{}, id)
	add("testSubscription", "subscriptions.test", http.MethodPost, one+":test", "Send a test event, once", nil, "200", deliveryAttempt{}, id)
	add("listDeliveries", "deliveries.list", http.MethodGet, one+"/deliveries", "List deliveries of the last 30 days, of a deleted subscription too, in the order of their last changes", nil, "200", deliveryList{},
		append([]*huma.Param{id}, query("state", "type", "from", "to", "cursor", "limit")...)...)
}

// subscriptionPermission is what a request of the notifier's part needs, by its method and path below Prefix, and its
// project. A path that there is not needs the project alone: the notifier says so.
func subscriptionPermission(method, path string) (project, permission string) {
	part := strings.Split(strings.TrimPrefix(path, Prefix+"v1/projects/"), "/") // project, subscriptions, id:verb, deliveries
	project, _ = url.PathUnescape(part[0])                                      // what cannot be read is no project of anybody's
	name := ""
	switch len(part) {
	case 2:
		name = map[string]string{http.MethodPost: "subscriptions.create", http.MethodGet: "subscriptions.list"}[method]
	case 3:
		_, verb, named := strings.Cut(part[2], ":")
		name = map[string]string{http.MethodGet: "subscriptions.get", http.MethodPatch: "subscriptions.update", http.MethodDelete: "subscriptions.delete"}[method]
		if named {
			name = map[string]string{"rotateSecret": "subscriptions.rotateSecret", "replay": "subscriptions.replay", "test": "subscriptions.test"}[verb]
		}
	case 4:
		name = "deliveries.list"
	}
	if name == "" {
		return project, ""
	}
	return project, "backupbus." + name
}
