package spanner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// operationFamilies are the names under which Spanner serves operations: its service configuration overrides what
// the operations API says of itself (spanner.md 1).
var operationFamilies = []string{
	"projects/*/instances/*/databases/*/operations", "projects/*/instances/*/operations",
	"projects/*/instances/*/backups/*/operations", "projects/*/instanceConfigs/*/operations",
}

// rest registers the bindings that the descriptors of the two services carry (spanner.md 9).
type rest struct {
	door *Door
	mux  *runtime.ServeMux
}

func newREST(d *Door, admin databasepb.DatabaseAdminServer, operations longrunningpb.OperationsServer) (http.Handler, error) {
	r := rest{d, runtime.NewServeMux(
		runtime.WithDisablePathLengthFallback(), runtime.WithDisableHTTPMethodOverride(),
		runtime.WithUnescapingMode(runtime.UnescapingModeAllExceptReserved),
		runtime.WithErrorHandler(func(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, _ *http.Request, _ error) {
			writeError(w, status.New(codes.InvalidArgument, "The path is malformed."), http.StatusBadRequest)
		}),
		runtime.WithRoutingErrorHandler(func(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, _ *http.Request, code int) {
			notServed(w, code)
		}))}
	err := errors.Join(
		r.register(&databasepb.DatabaseAdmin_ServiceDesc, admin, rulesOf),
		r.register(&longrunningpb.Operations_ServiceDesc, operations, func(m protoreflect.MethodDescriptor) []*annotations.HttpRule {
			return operationRules(string(m.Name()))
		}))
	return r.mux, err
}

// notServed answers a path or a method of it that there is not (spanner.md (b) 52).
func notServed(w http.ResponseWriter, httpCode int) {
	switch httpCode {
	case http.StatusMethodNotAllowed:
		writeError(w, status.New(codes.Unimplemented, "Method not allowed on this path."), httpCode)
	case http.StatusBadRequest:
		writeError(w, status.New(codes.InvalidArgument, "The path is malformed."), httpCode)
	default:
		writeError(w, status.New(codes.NotFound, "Method not found."), http.StatusNotFound)
	}
}

func rulesOf(m protoreflect.MethodDescriptor) []*annotations.HttpRule {
	options, ok := m.Options().(*descriptorpb.MethodOptions)
	if !ok || !proto.HasExtension(options, annotations.E_Http) {
		return nil
	}
	rule, ok := proto.GetExtension(options, annotations.E_Http).(*annotations.HttpRule)
	if !ok {
		return nil
	}
	return append([]*annotations.HttpRule{rule}, rule.GetAdditionalBindings()...)
}

func operationRules(method string) (rules []*annotations.HttpRule) {
	for _, f := range operationFamilies {
		list, one := "/v1/{name="+f+"}", "/v1/{name="+f+"/*}"
		switch method {
		case "ListOperations":
			rules = append(rules, &annotations.HttpRule{Pattern: &annotations.HttpRule_Get{Get: list}})
		case "GetOperation":
			rules = append(rules, &annotations.HttpRule{Pattern: &annotations.HttpRule_Get{Get: one}})
		case "DeleteOperation":
			rules = append(rules, &annotations.HttpRule{Pattern: &annotations.HttpRule_Delete{Delete: one}})
		case "CancelOperation":
			rules = append(rules, &annotations.HttpRule{Pattern: &annotations.HttpRule_Post{Post: one + ":cancel"}})
		}
	}
	return rules
}

func (r rest) register(service *grpc.ServiceDesc, impl any, rules func(protoreflect.MethodDescriptor) []*annotations.HttpRule) error {
	file, err := descriptorOf(service)
	if err != nil {
		return err
	}
	methods := file.Methods()
	for _, m := range service.Methods {
		md := methods.ByName(protoreflect.Name(m.MethodName))
		for _, rule := range rules(md) {
			method, path := verb(rule)
			b := binding{door: r.door, impl: impl, method: m, body: rule.GetBody()}
			if err := r.mux.HandlePath(method, path, b.serve); err != nil {
				return fmt.Errorf("route %s %s: %w", method, path, err)
			}
		}
	}
	return nil
}

func verb(r *annotations.HttpRule) (method, path string) {
	switch p := r.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		return http.MethodGet, p.Get
	case *annotations.HttpRule_Post:
		return http.MethodPost, p.Post
	case *annotations.HttpRule_Patch:
		return http.MethodPatch, p.Patch
	case *annotations.HttpRule_Put:
		return http.MethodPut, p.Put
	case *annotations.HttpRule_Delete:
		return http.MethodDelete, p.Delete
	}
	return "", ""
}

// binding is one method on one path.
type binding struct {
	door   *Door
	impl   any
	method grpc.MethodDesc
	body   string // the field that the HTTP body is; * for the whole request, empty for none
}

func (b binding) serve(w http.ResponseWriter, r *http.Request, path map[string]string) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	ctx := traced(r)
	answer, err := b.method.Handler(b.impl, ctx, func(into any) error {
		if _, err := b.door.admit(ctx); err != nil { // who may not ask is not told what is wrong with the question
			return err
		}
		return b.read(into.(proto.Message), r, path)
	}, b.door.intercept)
	if err != nil {
		st := status.Convert(err)
		var own *rpcError
		if errors.As(err, &own) {
			st = own.status
		}
		writeError(w, st, runtime.HTTPStatusFromCode(st.Code()))
		return
	}
	write(w, http.StatusOK, answer.(proto.Message))
}

// traced is the context of a request, with what gRPC calls its metadata.
func traced(r *http.Request) context.Context {
	return metadata.NewIncomingContext(r.Context(), metadata.Pairs("traceparent", r.Header.Get("traceparent"), "tracestate", r.Header.Get("tracestate"), "authorization", r.Header.Get("Authorization")))
}

// read fills the request from body, path and query, in this order: a path variable wins over the body.
func (b binding) read(into proto.Message, r *http.Request, path map[string]string) error {
	if b.body != "" {
		if err := checkType(r.Header.Get("Content-Type")); err != nil {
			return err
		}
		raw, err := io.ReadAll(r.Body)
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			return invalid("Request payload size exceeds the limit: %d bytes.", maxBody)
		}
		if err != nil {
			return invalid("Invalid JSON payload received. The body could not be read to its end.")
		}
		if err := readBody(into, b.body, raw); err != nil {
			return err
		}
	}
	for field, value := range path {
		if err := runtime.PopulateFieldFromPath(into, field, value); err != nil {
			return invalid("Invalid value at %q.", field)
		}
	}
	return readQuery(into, b.body, path, r.URL.RawQuery)
}

// checkType: a body may come without a type, as gcloud sends it.
func checkType(header string) error {
	if header == "" {
		return nil
	}
	kind, _, err := mime.ParseMediaType(header)
	if err != nil || kind != "application/json" && !strings.HasSuffix(kind, "+json") && kind != "application/x-www-form-urlencoded" && kind != "text/plain" && kind != "application/octet-stream" {
		return invalid("Invalid JSON payload received. The content type %q is not application/json.", shorten(header))
	}
	return nil
}

var answers = protojson.MarshalOptions{}

func write(w http.ResponseWriter, httpCode int, m proto.Message) {
	raw, err := answers.Marshal(m)
	if err != nil {
		writeError(w, status.New(codes.Internal, "Internal error."), http.StatusInternalServerError)
		return
	}
	writeRaw(w, httpCode, compact(raw))
}

func writeRaw(w http.ResponseWriter, httpCode int, raw []byte) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(httpCode)
	_, _ = w.Write(append(raw, '\n')) // a client that has gone
}

func shorten(s string) string {
	if len(s) > 100 {
		s = s[:100]
	}
	return strings.ToValidUTF8(s, "")
}

// writeError writes the error body of Google's REST APIs (spanner.md 6.1).
func writeError(w http.ResponseWriter, st *status.Status, httpCode int) {
	type body struct {
		Code    int               `json:"code"`
		Message string            `json:"message"`
		Status  string            `json:"status"`
		Details []json.RawMessage `json:"details,omitempty"`
	}
	b := body{Code: httpCode, Message: st.Message(), Status: code.Code(st.Code()).String()}
	for _, d := range st.Proto().GetDetails() {
		if raw, err := answers.Marshal(d); err == nil {
			b.Details = append(b.Details, compact(raw))
		}
	}
	raw, err := json.Marshal(map[string]body{"error": b})
	if err != nil { // details are JSON that was marshalled above
		raw = []byte(`{"error":{"code":500,"message":"Internal error.","status":"INTERNAL"}}`)
	}
	writeRaw(w, httpCode, raw)
}
