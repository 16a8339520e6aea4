package remote

import (
	"errors"
	"net/http"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"google.golang.org/api/googleapi"

	"gocloud.dev/gcerrors"
)

func TestCodes_WhatIsRefusedOrUnreachableIsNotGone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		scheme string
		err    error
		want   gcerrors.ErrorCode
	}{
		"Google refuses":           {"gs", &googleapi.Error{Code: http.StatusForbidden}, gcerrors.PermissionDenied},
		"Google knows nobody":      {"gs", &googleapi.Error{Code: http.StatusUnauthorized}, gcerrors.PermissionDenied},
		"Azure refuses":            {"azblob", &azcore.ResponseError{StatusCode: http.StatusForbidden}, gcerrors.PermissionDenied},
		"Azure is broken":          {"azblob", &azcore.ResponseError{StatusCode: http.StatusInternalServerError}, gcerrors.Unknown},
		"nobody knows Azure's way": {"azblob", errors.New("dial tcp: lookup x: no such host"), gcerrors.Unknown},
	} {
		if got := codes(c.scheme)(c.err); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
