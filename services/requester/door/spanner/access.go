package spanner

import (
	"context"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/backupbus/backupbus/services/access"
)

// admit finds out who asks, before anything of the request is looked at (spanner.md 6.1, (b) 44).
func (d *Door) admit(ctx context.Context) (context.Context, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	who, err := d.ring.Bearer(access.FromHeader(first(md, "authorization")), d.now())
	if err != nil {
		return ctx, refuse(codes.Unauthenticated, "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.")
	}
	return access.With(ctx, who), nil
}

// may refuses who lacks a permission on a resource ((b) 45). It is asked when the request has been read and before
// anybody looks whether the resource is there, so that nobody learns what they may not know.
func may(ctx context.Context, permission, resource string) error {
	project, _, _ := strings.Cut(strings.TrimPrefix(resource, "projects/"), "/")
	if access.From(ctx).May(project, permission) {
		return nil
	}
	return refuse(codes.PermissionDenied, "Caller is missing IAM permission %s on resource %s.", permission, resource)
}

// mayOperate is may for an operation of an owner: those of databases have permissions of their own.
func mayOperate(ctx context.Context, verb, owner, name string) error {
	kind := "spanner.backupOperations."
	if _, _, of := parseIn(databaseForm, owner); of {
		kind = "spanner.databaseOperations."
	}
	return may(ctx, kind+verb, name)
}

func first(md metadata.MD, name string) string {
	if v := md.Get(name); len(v) > 0 {
		return v[0]
	}
	return ""
}
