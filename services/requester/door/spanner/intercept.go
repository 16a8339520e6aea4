package spanner

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// intercept stands around every method of both protocols: a fault of ours ends one call and no more, errors are
// logged once, and their details travel where Google's Java client looks for them (spanner.md 6.1).
func (d *Door) intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (answer any, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
		if err != nil {
			answer, err = nil, d.told(ctx, info.FullMethod, err)
		}
	}()
	if ctx, err = d.admit(ctx); err != nil {
		return nil, err
	}
	return handle(ctx, req)
}

// told is an error as the caller sees it.
func (d *Door) told(ctx context.Context, method string, err error) error {
	s := about{}.of(err)
	var own *rpcError
	if st, ok := status.FromError(err); ok && !errors.As(err, &own) { // of the generated code, as UNIMPLEMENTED
		return st.Err()
	}
	st := status.Convert(s)
	if ctx.Err() != nil && (st.Code() == codes.Internal || st.Code() == codes.Unavailable) { // whoever asked has gone
		return status.FromContextError(ctx.Err()).Err()
	}
	if code := st.Code(); code == codes.Internal || code == codes.Unavailable {
		d.log.ErrorContext(ctx, "request failed", "door", "spanner", "method", method, "error", err.Error(), "cause", fmt.Sprint(errors.Unwrap(s)))
	}
	_ = grpc.SetTrailer(ctx, trailersOf(st)) // there are none over REST
	return st.Err()
}

func trailersOf(st *status.Status) metadata.MD {
	md := metadata.MD{}
	for _, detail := range st.Details() {
		switch m := detail.(type) {
		case *errdetails.ResourceInfo, *errdetails.ErrorInfo:
			if b, err := proto.Marshal(m.(proto.Message)); err == nil {
				name := strings.ToLower(string(m.(proto.Message).ProtoReflect().Descriptor().FullName()))
				md.Append(name+"-bin", string(b))
			}
		}
	}
	return md
}
